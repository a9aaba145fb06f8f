"""Keeping channels-last layout through the backward pass.

The gradients of slicing and of global pooling come back in torch's default layout; every element-wise operation
before them then meets two layouts at once and runs several times slower. The functions here are identities and
views whose gradients keep the layout of the input. Without gradients, and while a network is exported, they are
the plain operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _KeepLayout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.layout = layout_of(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=ctx.layout)


class _SplitEvenOdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.layout, ctx.shape = layout_of(x), x.shape
        # dense, because a convolution would copy a strided half in the forward and again in the backward pass
        return x[:, 0::2].clone(memory_format=ctx.layout), x[:, 1::2].clone(memory_format=ctx.layout)

    @staticmethod
    def backward(ctx: Any, even: Tensor, odd: Tensor) -> Tensor:
        gradient = torch.empty(ctx.shape, dtype=even.dtype, device=even.device, memory_format=ctx.layout)
        gradient[:, 0::2] = even
        gradient[:, 1::2] = odd
        return gradient


def keep_layout(x: Tensor) -> Tensor:
    """The tensor (N, C, H, W) itself; its gradient is converted to the same memory layout."""
    kept: Tensor = _KeepLayout.apply(x) if _differentiates(x) else x
    return kept


def split_even_odd(x: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd channels of (N, C, H, W), each (N, C/2, H, W)."""
    if _differentiates(x):
        halves: tuple[Tensor, Tensor] = _SplitEvenOdd.apply(x)
        return halves
    return x[:, 0::2], x[:, 1::2]


def layout_of(x: Tensor) -> torch.memory_format:
    """Channels-last if the tensor is stored that way, else torch's default."""
    is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format


def _differentiates(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling()
