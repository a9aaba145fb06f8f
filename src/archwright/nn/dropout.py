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
    """The rate itself, after checking it; `name` names it in the error.

    Raises:
        InvalidValueError: If it is not in [0, 1), or no number.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise InvalidValueError(f"{name} is {rate!r}; give a rate in [0, 1)")
    return float(rate)


def dropout_mask(like: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
    """A dropout mask: 0 with probability `rate`, else 1 / (1 - rate).

    Args:
        like: A tensor that gives the mask's type and device.
        shape: Shape of the mask.
        rate: Probability in [0, 1) of a zero.
    """
    return torch.empty(shape, dtype=like.dtype, device=like.device).bernoulli_(1 - rate).div_(1 - rate)


def locked_dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Drop features of (N, T, F): each sequence loses the same features at every step.

    Args:
        x: The sequences, (N, T, F).
        rate: Probability in [0, 1) that a feature is dropped.
        training: False returns `x` unchanged.
    """
    if not training or rate == 0:
        return x
    return x * dropout_mask(x, (x.shape[0], 1, x.shape[2]), rate)


def embedded(tokens: Tensor, weight: Tensor, rate: float, training: bool) -> Tensor:
    """Embedded tokens (N, T, F) with word dropout; a dropped word is zero wherever it occurs in the batch.

    Args:
        tokens: Token numbers, (N, T).
        weight: The embedding, (V, F): one row for each word of the vocabulary.
        rate: Probability in [0, 1) that a word is dropped.
        training: False drops nothing.
    """
    if training and rate:
        weight = weight * dropout_mask(weight, (weight.shape[0], 1), rate)
    return functional.embedding(tokens, weight)
