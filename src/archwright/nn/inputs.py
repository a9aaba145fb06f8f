"""What a network takes: numbers, such as images, or tokens, whole numbers below the size of a vocabulary.

A network says that it takes tokens by an attribute `n_tokens`; one that begins with an `nn.Embedding` need not.
Its inputs are one tensor, or a tuple of several in the order of its `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.nn.choice.modules import ChoiceModule

Inputs = Tensor | tuple[Tensor, ...]
"""What a network is called with: one tensor, or several in the order of its `forward`."""


def call(network: nn.Module, inputs: Inputs) -> Any:
    """The network's result for its inputs."""
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)


def n_tokens_of(network: nn.Module) -> int | None:
    """The size of the vocabulary a network's inputs are drawn from; None where it takes numbers.

    >>> n_tokens_of(nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 50))), n_tokens_of(nn.Linear(8, 50))
    (50, None)
    """
    said = getattr(network, "n_tokens", None)
    if isinstance(said, int):
        return said
    if isinstance(network, nn.Embedding):
        return network.num_embeddings
    if isinstance(network, nn.Sequential | ChoiceModule):
        first = next(iter(network.children()), None)
        return None if first is None else n_tokens_of(first)
    return None


def example_inputs(
    network: nn.Module,
    input_shape: Sequence[int],
    n: int,
    *,
    rng: np.random.Generator | None = None,
    device: str | torch.device = "cpu",
) -> Tensor:
    """A batch (n, *input_shape) of the kind the network takes: float32 numbers or int64 tokens.

    Args:
        network: What is to run on it.
        input_shape: Shape of one input without the batch.
        n: Inputs in the batch.
        rng: Draws normal numbers, or any token alike; zeros without it.
        device: Where; on "meta" there are no values.
    """
    n_tokens, shape = n_tokens_of(network), (n, *input_shape)
    if torch.device(device).type == "meta" or rng is None:
        make = torch.empty if torch.device(device).type == "meta" else torch.zeros
        return make(shape, dtype=torch.float32 if n_tokens is None else torch.int64, device=device)
    drawn = rng.standard_normal(shape, dtype=np.float32) if n_tokens is None else rng.integers(n_tokens, size=shape)
    return torch.from_numpy(drawn).to(device)
