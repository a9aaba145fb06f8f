"""The spaces of Single Path One-Shot: blocks, blocks with channels, and bit widths of a ResNet."""

from archwright.spaces.spos.bits import SposBits
from archwright.spaces.spos.blocks import SposSpace
from archwright.spaces.spos.channels import SposChannels

__all__ = ["SposBits", "SposChannels", "SposSpace"]
