"""The chain of a once-for-all network as data: widths, strides, sides of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from archwright.nn.sizes import Size, lazy_map

Image = tuple[Size, Size]
"""Height and width of a feature map, if decisions change them."""


@dataclass(frozen=True)
class Stage:
    """A stage of the paper's network.

    Attributes:
        stride: Stride of its first block.
        activation: Makes the activation of its blocks.
        has_squeeze: Whether its blocks have squeeze-and-excitation.
    """

    stride: int
    activation: Callable[[], nn.Module]
    has_squeeze: bool = False


@dataclass(frozen=True)
class PlacedStage:
    """A stage in the network of one space: its widths, and the stride that its images allow.

    Attributes:
        n_in: Input channels.
        n_out: Output channels of each of its blocks.
        stride: Stride of its first block.
        kind: The stage.
    """

    n_in: int
    n_out: int
    stride: int
    kind: Stage


@dataclass(frozen=True)
class Layout:
    """The widths and strides of a whole chain.

    Attributes:
        stem: Channels after the first convolution.
        first: Channels of the first block.
        stem_stride: Stride of the first convolution.
        stages: The stages in order.
        ends: Channels in the head.
    """

    stem: int
    first: int
    stem_stride: int
    stages: tuple[PlacedStage, ...]
    ends: tuple[int, ...]

    @property
    def last(self) -> int:
        """Channels after the last stage."""
        return self.stages[-1].n_out


def strided(image: Image | None, stride: int) -> Image | None:
    """Height and width of a feature map after a layer of stride 1 or 2; None if no decision changes them."""
    if image is None or stride == 1:
        return image
    return lazy_map(half, image[0]), lazy_map(half, image[1])


def half(side: int) -> int:
    """A side in pixels after a stride of 2.

    >>> half(7)
    4
    """
    return -(-side // 2)
