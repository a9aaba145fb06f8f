"""What a generated `model.py` does with a network of tensors that are neither images nor texts.

As `archwright.export.standalone`; what the two have in common stands there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from archwright.export.standalone import load

INPUTS: list[tuple[str, tuple[int, ...], str, int | None]] = []


# ── copied from here ──────────────────────────────────────────────────────────────────────────────


def example(n: int = 1) -> tuple[Tensor, ...]:
    """Random inputs of the right shapes and types: numbers, tokens, or truth values that are all true."""
    found = []
    for _, shape, dtype, n_tokens in INPUTS:
        if dtype == "float32":
            found.append(torch.randn(n, *shape))
        elif dtype == "bool":
            found.append(torch.ones(n, *shape, dtype=torch.bool))
        else:
            found.append(torch.randint(n_tokens or 1, (n, *shape)))
    return tuple(found)


@torch.inference_mode()
def predict(network: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """The network's outputs, without gradients."""
    outputs = network(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def main(arguments: list[str]) -> None:
    """Print the shapes of what the network gives for random inputs."""
    network = load(arguments[0] if arguments else Path(__file__).with_name("model.safetensors"))
    for output in predict(network, *example()):
        print(tuple(output.shape))


if __name__ == "__main__":
    main(sys.argv[1:])
