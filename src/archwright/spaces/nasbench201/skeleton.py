"""What the topology and the size space of NAS-Bench-201 have in common: what stands before and behind the cells."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size

MIN_SIDE = 8


def check_images(space: str, shape: Sequence[int]) -> None:
    """Refuse what is no image of at least 8 pixels a side: two halvings leave 2.

    Raises:
        InvalidValueError: Names the space and what it got.
    """
    if len(shape) != 3:
        raise InvalidValueError(
            f"space {space!r} takes images (channels, height, width), not the shape {tuple(shape)}; give three sides"
        )
    if min(shape[1:]) < MIN_SIDE:
        raise InvalidValueError(
            f"space {space!r} takes images of at least {MIN_SIDE} pixels a side, not {min(shape[1:])}; give larger ones"
        )


def stem(n_in: int, width: Size) -> nn.Sequential:
    """3x3 convolution and batch norm; the first operations begin with a ReLU of their own."""
    return nn.Sequential(Conv2d(n_in, width, 3, bias=False), BatchNorm2d(width))


def head(width: Size, n_classes: int) -> nn.Sequential:
    """Batch norm, ReLU, pooling, classifier: (N, width, H, W) → (N, n_classes)."""
    return nn.Sequential(BatchNorm2d(width), nn.ReLU(inplace=True), GlobalAvgPool2d(), Linear(width, n_classes))
