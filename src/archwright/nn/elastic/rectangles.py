"""Convolutions with rectangular kernels and strides that may be decisions."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.elastic.layers import Elastic, Places, _checked, centre
from archwright.nn.sizes import Lazy, Size, current, places

Sides = tuple[Size, Size]
"""Height and width."""


def RectangularConv2d(in_channels: Size, out_channels: Size, kernel: Sides, stride: Sides = (1, 1)) -> nn.Conv2d:
    """A 2-d convolution without bias, padded by half its (odd) kernel: (N, C, H, W) → (N, C', ⌈H/s⌉, ⌈W/s'⌉).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Its height and width, both odd.
        stride: Steps down and to the right.
    """
    if any(isinstance(size, Lazy) for size in (in_channels, out_channels, *kernel, *stride)):
        return ElasticRectangularConv2d(in_channels, out_channels, kernel, stride)
    n_in, n_out, height, width, down, right = _checked(in_channels, out_channels, *kernel, *stride)
    return nn.Conv2d(n_in, n_out, (height, width), (down, right), (height // 2, width // 2), bias=False)


class ElasticRectangularConv2d(Elastic, nn.Conv2d):
    """A convolution on the active channels and the centre of its largest kernel, with the active stride.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Its height and width, both odd.
        stride: Steps down and to the right, in pixels.
    """

    def __init__(self, in_channels: Size, out_channels: Size, kernel: Sides, stride: Sides) -> None:
        n_in, n_out, *box = _checked(in_channels, out_channels, *kernel, *stride)
        super().__init__(n_in, n_out, (box[0], box[1]), bias=False)
        self.sizes, self.out_size = (in_channels, out_channels, *kernel, *stride), out_channels

    def axes(self) -> dict[str, tuple[Places, ...]]:
        n_in, n_out, *kernel = self.sizes[:4]
        sides = [centre(most, current(side)) for most, side in zip(self.kernel_size, kernel, strict=True)]
        return {"weight": (places(n_out), places(n_in), *sides)}

    def forward(self, x: Tensor) -> Tensor:
        weight = self.active_state()["weight"]
        stride: Any = tuple(map(current, self.sizes[4:]))
        return F.conv2d(x, weight, None, stride, (weight.shape[2] // 2, weight.shape[3] // 2))
