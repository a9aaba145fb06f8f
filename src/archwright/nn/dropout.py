"""Dropout whose mask stays the same along a sequence, and dropped weights (Gal and Ghahramani, 2016; Merity et al.,
2018).

The masks are drawn from torch's generator, so they follow its seed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from archwright.core.errors import InvalidValueError


def check_rate(name: str, rate: float) -> float:
    """The rate, once it is known to be one.

    Raises:
        InvalidValueError: If it is not in [0, 1), or no number.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise InvalidValueError(f"{name} is {rate!r}; give a rate in [0, 1)")
    return float(rate)


def dropout_mask(like: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
    """A mask of that shape: 0 with probability `rate`, else 1 / (1 - rate); type and device are those of `like`."""
    return torch.empty(shape, dtype=like.dtype, device=like.device).bernoulli_(1 - rate).div_(1 - rate)


def locked_dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Drop features of (N, T, F): each sequence loses the same ones at every step."""
    if not training or rate == 0:
        return x
    return x * dropout_mask(x, (x.shape[0], 1, x.shape[2]), rate)


def embedded(tokens: Tensor, weight: Tensor, rate: float, training: bool) -> Tensor:
    """The rows (N, T, F) of an embedding (V, F) for tokens (N, T); a dropped word is zero wherever it occurs."""
    if training and rate:
        weight = weight * dropout_mask(weight, (weight.shape[0], 1), rate)
    return functional.embedding(tokens, weight)
