"""The spaces of Single Path One-Shot: blocks, and blocks with their channels."""

from archwright.spaces.spos.blocks import SposSpace
from archwright.spaces.spos.channels import SposChannels

__all__ = ["SposChannels", "SposSpace"]
