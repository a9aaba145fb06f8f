"""The reference for an exported file: the network's own logits, and measures of the difference."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.trial import derive_seed
from archwright.nn.inputs import example_inputs


def plain_copy(network: nn.Module) -> nn.Module:
    """A float32, contiguous copy on the CPU in eval mode."""
    plain = copy.deepcopy(network).eval().requires_grad_(False)
    return plain.to("cpu", torch.float32).to(memory_format=torch.contiguous_format)


def random_inputs(
    network: nn.Module, input_shape: Sequence[int], batch: int, *, seed: int, purpose: str
) -> NDArray[Any]:
    """Random inputs (batch, *input_shape): normal numbers, or tokens if the network reads tokens.

    Args:
        network: The network that will read them.
        input_shape: Shape of one input without the batch.
        batch: Number of inputs.
        seed: Seed of the numbers.
        purpose: Part of the seed: another purpose gives other numbers.
    """
    rng = np.random.default_rng(derive_seed(seed, purpose, batch))
    found: NDArray[Any] = example_inputs(network, input_shape, batch, rng=rng).numpy()
    return found


def relative_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest absolute difference, divided by max(1, max|expected|); infinite if the shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinite logits have no difference: not a number, which no limit accepts
        return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def rounds_values(network: nn.Module) -> bool:
    """Whether a module of the network rounds its input, which it says by an attribute `rounds`.

    If a value lies half-way between two steps, its last bit decides to which it is rounded. Two correct programs may
    then differ by a whole step of one activation, and their logits by the effect of that.
    """
    return any(bool(getattr(part, "rounds", False)) for part in network.modules())


def spread_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Root mean square of the differences, relative to that of the expected numbers about their mean.

    It is 0 for equal logits, about 1 for constant and 1.4 for unrelated ones; infinite if the shapes differ.
    """
    if found.shape != expected.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.sqrt(np.square(found - expected).mean()) / max(float(expected.std()), 1e-6))
