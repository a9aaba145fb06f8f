"""The memory-bank space of SMASH (Brock et al., ICLR 2018)."""

from archwright.spaces.smash.grammar import Conv, Op
from archwright.spaces.smash.sampling import BlockSizes, draw_block
from archwright.spaces.smash.space import Smash

__all__ = ["BlockSizes", "Conv", "Op", "Smash", "draw_block"]
