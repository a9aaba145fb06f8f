"""The reference for an exported file: the network's own logits, and measures of the difference."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.trial import derive_seed
from archwright.nn.inputs import Form, Inputs, call, example_inputs, tensors_of

Compare = Callable[[NDArray[np.float32], NDArray[np.float32]], float]


def plain_copy(network: nn.Module) -> nn.Module:
    """A float32, contiguous copy on the CPU in eval mode; complex numbers stay complex, of two float32."""
    plain = copy.deepcopy(network).eval().requires_grad_(False)
    # not `to(float32)`: it takes the imaginary part of complex numbers away
    plain._apply(_in_single_precision)  # type: ignore[no-untyped-call]
    return plain.to(memory_format=torch.contiguous_format)


def _in_single_precision(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor.to("cpu", torch.complex64)
    return tensor.to("cpu", torch.float32) if tensor.is_floating_point() else tensor.to("cpu")


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
    """The largest difference of any output; infinite if the numbers of outputs differ, NaN if one difference is NaN.

    Args:
        compare: Measures the difference of two arrays.
        found: Outputs of the exported file.
        expected: Outputs of the network in torch.
    """
    if len(found) != len(expected):
        return float("inf")
    differences = [compare(one, other) for one, other in zip(found, expected, strict=True)]
    return float("nan") if any(math.isnan(one) for one in differences) else max(differences)


def relative_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest absolute difference, divided by max(1, max|expected|); infinite if the shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    one, other = found.astype(np.float64), expected.astype(np.float64)  # truth values have no difference
    with np.errstate(invalid="ignore"):  # infinite logits have no difference: not a number, which no limit accepts
        return float(np.abs(one - other).max() / max(1.0, np.abs(other).max()))


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
    if not expected.size:
        return 0.0
    one, other = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return float(np.sqrt(np.square(one - other).mean()) / max(float(other.std()), 1e-6))
