"""The chain of a once-for-all network as data: widths, strides, sides of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from archwright.nn.sizes import Size, lazy_map

Image = tuple[Size, Size]
"""Height and width of a map, where decisions change them."""


@dataclass(frozen=True)
class Stage:
    """A stage as the paper has it.

    Attributes:
        stride: Of its first block.
        activation: Of its blocks.
        has_squeeze: Whether its blocks have squeeze-and-excitation.
    """

    stride: int
    activation: Callable[[], nn.Module]
    has_squeeze: bool = False


@dataclass(frozen=True)
class PlacedStage:
    """A stage in the network of one space: its widths, and the stride that its images allow.

    Attributes:
        n_in: Channels of what it takes.
        n_out: Channels of all its blocks.
        stride: Of its first block.
        kind: The stage.
    """

    n_in: int
    n_out: int
    stride: int
    kind: Stage


@dataclass(frozen=True)
class Layout:
    """The whole chain.

    Attributes:
        stem: Channels behind the first convolution.
        first: Channels of the first block.
        stem_stride: Of the first convolution.
        stages: In order.
        ends: Channels in the head.
    """

    stem: int
    first: int
    stem_stride: int
    stages: tuple[PlacedStage, ...]
    ends: tuple[int, ...]

    @property
    def last(self) -> int:
        """Channels behind the stages."""
        return self.stages[-1].n_out


def strided(image: Image | None, stride: int) -> Image | None:
    """The sides of a map behind a layer of stride 1 or 2; None where no decision changes them."""
    if image is None or stride == 1:
        return image
    return lazy_map(half, image[0]), lazy_map(half, image[1])


def half(side: int) -> int:
    """Pixels behind a stride of 2.

    >>> half(7)
    4
    """
    return -(-side // 2)
