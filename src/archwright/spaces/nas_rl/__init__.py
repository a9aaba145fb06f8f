"""The spaces of Neural Architecture Search with Reinforcement Learning: convolutional networks, recurrent cells."""

from archwright.spaces.nas_rl.convolutional import NasRl
from archwright.spaces.nas_rl.recurrent import NasRlRnn

__all__ = ["NasRl", "NasRlRnn"]
