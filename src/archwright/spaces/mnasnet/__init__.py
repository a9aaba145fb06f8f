"""MnasNet's factorised hierarchical search space."""

from archwright.spaces.mnasnet.blocks import BLOCKS, Block
from archwright.spaces.mnasnet.space import MnasNet
from archwright.spaces.mobile import round_width

__all__ = ["BLOCKS", "Block", "MnasNet", "round_width"]
