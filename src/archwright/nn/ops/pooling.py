"""Average pooling over the whole image, and around each pixel."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.layout import keep_layout, layout_of
from archwright.nn.source import source_template


@source_template('''
    class GlobalAvgPool2d(nn.Module):
        """Mean over the image: (N, C, H, W) → (N, C)."""

        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))
''')
class GlobalAvgPool2d(nn.Module):
    """Mean over the image: (N, C, H, W) → (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return keep_layout(x).mean((2, 3))


@source_template('''
    class LocalAvgPool2d(nn.Module):
        """Mean over a square around each pixel: (N, C, H, W) → the same; only pixels of the image count."""

        def __init__(self, side: int) -> None:
            super().__init__()
            self.side = side

        def forward(self, x: Tensor) -> Tensor:
            return F.avg_pool2d(x, self.side, 1, self.side // 2, count_include_pad=False)
''')
class LocalAvgPool2d(nn.Module):
    """Mean over a square around each pixel: (N, C, H, W) → the same; only pixels of the image count.

    It computes the same as torch.nn.AvgPool2d with stride 1 that does not count the padding. On a CPU in channels-last
    layout, a depth-wise convolution with ones is up to ten times faster than torch's pooling, so it runs there.

    Args:
        side: Odd side of the square in pixels.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        if _runs_as_convolution(x):
            found: Tensor = _ConvolutionMean.apply(x, self.side) if x.requires_grad else _mean(x, self.side)
            return found
        return F.avg_pool2d(x, self.side, 1, self.side // 2, count_include_pad=False)

    def extra_repr(self) -> str:
        return str(self.side)


class _ConvolutionMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, side: int) -> Tensor:
        ctx.side = side
        return _mean(x, side)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # the transpose of a sum over squares is itself, and scaling by the counts comes first instead of last
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return _sum(gradient * _one_over_count(gradient, ctx.side), ctx.side), None


def _mean(x: Tensor, side: int) -> Tensor:
    return _sum(x, side).mul_(_one_over_count(x, side))


def _sum(x: Tensor, side: int) -> Tensor:
    return F.conv2d(x, _ones(x.shape[1], side, x.dtype), padding=side // 2, groups=x.shape[1])


def _one_over_count(x: Tensor, side: int) -> Tensor:
    return _fractions(*x.shape[1:], side, x.dtype)


@functools.lru_cache(maxsize=256)
def _ones(channels: int, side: int, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # a tensor made in that mode could not take part in a backward pass later
        return torch.ones(channels, 1, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)


@functools.lru_cache(maxsize=256)
def _fractions(channels: int, height: int, width: int, side: int, dtype: torch.dtype) -> Tensor:
    """One over the number of image pixels in the square around each pixel, (1, C, H, W).

    Spelled out for every channel: to broadcast along the innermost dimension takes three times as long.
    """
    with torch.inference_mode(False), torch.no_grad():
        image = torch.ones(1, 1, height, width, dtype=torch.float64)
        count = F.conv2d(image, torch.ones(1, 1, side, side, dtype=torch.float64), padding=side // 2)
        return (1 / count).to(dtype).expand(1, channels, -1, -1).contiguous(memory_format=torch.channels_last)


def _runs_as_convolution(x: Tensor) -> bool:
    return x.device.type == "cpu" and layout_of(x) is torch.channels_last and not torch.compiler.is_compiling()
