"""MnasNet's factorised hierarchical search space."""

from archwright.spaces.mnasnet.blocks import BLOCKS, Block, round_width
from archwright.spaces.mnasnet.space import MnasNet

__all__ = ["BLOCKS", "Block", "MnasNet", "round_width"]
