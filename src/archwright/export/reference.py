"""The reference for an exported file: the network's own logits, and measures of the difference."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.trial import derive_seed
from archwright.nn.inputs import Form, Inputs, call, example_inputs, tensors_of

Compare = Callable[[NDArray[np.float32], NDArray[np.float32]], float]


def plain_copy(network: nn.Module) -> nn.Module:
    """A float32, contiguous copy on the CPU in eval mode."""
    plain = copy.deepcopy(network).eval().requires_grad_(False)
    return plain.to("cpu", torch.float32).to(memory_format=torch.contiguous_format)


def random_inputs(network: nn.Module, input_shape: Form, batch: int, *, seed: int, purpose: str) -> Inputs:
    """A batch of random inputs, as the network takes them; a function of the last arguments.

    Args:
        network: What is to run on them.
        input_shape: Shape of its one input without the batch, or its signature.
        batch: How many.
        seed: Draws them, with the next two.
        purpose: What for.
    """
    rng = np.random.default_rng(derive_seed(seed, purpose, batch))
    return example_inputs(network, input_shape, batch, rng=rng)


def outputs_of(network: nn.Module, inputs: Inputs) -> list[NDArray[np.float32]]:
    """What a network gives, without gradients: each of its output tensors."""
    with torch.inference_mode():
        return [tensor.numpy() for tensor in tensors_of(call(network, inputs))]


def worst(compare: Compare, found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]) -> float:
    """The largest difference of any output; infinite where there are more or fewer outputs."""
    if len(found) != len(expected):
        return float("inf")
    differences = [compare(one, other) for one, other in zip(found, expected, strict=True)]
    return float("nan") if any(math.isnan(one) for one in differences) else max(differences)


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
