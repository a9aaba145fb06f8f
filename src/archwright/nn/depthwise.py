"""Depth-wise convolution whose gradients are fast on a CPU where it is dilated.

torch 2.14.1 takes up to sixty times as long for the gradients of a dilated depth-wise convolution as for its forward
pass (benchmarks/bench_mixed.py). Here they are those of convolutions without dilation, on every second pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_backward = torch.ops.aten.convolution_backward


@contextmanager
def fast_gradients(network: nn.Module) -> Iterator[None]:
    """Inside, dilated depth-wise convolutions of a network have these gradients; their outputs keep every bit.

    Args:
        network: Its modules stay what they are.
    """
    changed = [module for module in network.modules() if isinstance(module, nn.Conv2d) and _is_dilated(module)]
    for module in changed:
        module.__dict__["forward"] = partial(_run, module)
    try:
        yield
    finally:
        for module in changed:
            del module.__dict__["forward"]


def _is_dilated(module: nn.Conv2d) -> bool:
    """Whether `depthwise` computes what a convolution does, and faster back."""
    if type(module) is not nn.Conv2d or module.bias is not None or module.padding_mode != "zeros":
        return False
    is_depthwise = module.groups == module.in_channels == module.out_channels > 1
    is_square = all(len(set(sides)) == 1 for sides in (module.kernel_size, module.stride))
    is_padded = module.padding == (2 * (module.kernel_size[0] // 2),) * 2
    return is_depthwise and is_square and is_padded and module.dilation == (2, 2) and module.kernel_size[0] % 2 == 1


def _run(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return depthwise(x, conv.weight, conv.stride[0], conv.dilation[0])


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """The depth-wise convolution of (N, C, H, W) with (C, 1, k, k), padded so that stride 1 keeps the size.

    Args:
        x: The input.
        weight: The kernels; k is odd.
        stride: Step in pixels.
        dilation: Distance in pixels between the kernel's points.
    """
    is_slow = dilation == 2 and x.device.type == "cpu" and x.dtype == weight.dtype and stride in (1, 2)
    if is_slow and torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        out: Tensor = _Dilated.apply(x, weight, stride)
        return out
    return F.conv2d(x, weight, None, stride, dilation * (weight.shape[2] // 2), dilation, len(weight))


class _Dilated(torch.autograd.Function):
    """Dilation 2: torch's forward pass, and gradients without dilation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, 2 * (weight.shape[2] // 2), 2, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        if ctx.stride == 1:
            return (*_by_phases(x, weight, gradients[0], needs_x, needs_weight), None)
        # only each second pixel of each second row is read
        own, of_weight = _gradients(x[:, :, ::2, ::2], weight, gradients[0], needs_x, needs_weight)
        return _spread(own, x) if own is not None else None, of_weight, None


def _gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, needs_x: bool, needs_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Of stride 1 without dilation."""
    width, pad = len(weight), weight.shape[2] // 2
    of_x = F.conv2d(gradient, weight.flip(2, 3), None, 1, pad, 1, width) if needs_x else None
    if not needs_weight:
        return of_x, None
    mask = (False, True, False)
    found = _backward(gradient, x, weight, None, (1, 1), (pad, pad), (1, 1), False, (0, 0), width, mask)
    return of_x, found[1]


def _by_phases(
    x: Tensor, weight: Tensor, gradient: Tensor, needs_x: bool, needs_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Of stride 1: pixels of equal parity see each other alone, so each parity is an image."""
    n, _, height, width = x.shape
    of_x, of_weight = _gradients(_phases(x), weight, _phases(gradient), needs_x, needs_weight)
    if of_x is None:
        return None, of_weight
    whole = torch.empty_like(x)
    for k, part in enumerate(torch.split(of_x, n)):
        a, b = divmod(k, 2)
        whole[:, :, a::2, b::2] = part[:, :, : -(-(height - a) // 2), : -(-(width - b) // 2)]
    return whole, of_weight


def _phases(x: Tensor) -> Tensor:
    """(4 N, C, ⌈H/2⌉, ⌈W/2⌉): even and odd rows and columns as images of their own; odd sides get a zero."""
    if x.shape[2] % 2 or x.shape[3] % 2:
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return torch.cat([x[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)])


def _spread(part: Tensor, like: Tensor) -> Tensor:
    """Zeros but for each second pixel of each second row."""
    whole = torch.zeros_like(like)
    whole[:, :, ::2, ::2] = part
    return whole
