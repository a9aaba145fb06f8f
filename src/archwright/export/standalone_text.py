"""The part of a generated `model.py` that uses a language model, as the Python code that is copied into it.

See `archwright.export.standalone`, which also has the functions that both need.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archwright.export.standalone import load

CLASS_NAMES: list[str] = []
PREPROCESSING: dict[str, Any] = {}


# ── copied from here ──────────────────────────────────────────────────────────────────────────────


def encode(text: str) -> Tensor:
    """The tokens of a text, int64 (1, T): its characters, or its words and line ends; one token for unknown ones."""
    numbers = {name: number for number, name in enumerate(CLASS_NAMES)}
    if PREPROCESSING["marks_apart"]:  # lower case, marks as words of their own
        text = "\n".join(" ".join(re.findall(r"\w+|[^\w\s]", line.lower())) for line in text.split("\n"))
    if PREPROCESSING["level"] == "character":
        tokens = list(text)
    else:
        tokens = text.replace("\n", f" {PREPROCESSING['line_end']} ").split()
    if not tokens:
        raise ValueError("the text is empty; give at least one token")
    unknown = numbers[PREPROCESSING["unknown"]]
    return torch.tensor([[numbers.get(token, unknown) for token in tokens]])


@torch.inference_mode()
def predict(network: nn.Module, tokens: Tensor, n: int = 5) -> list[list[tuple[str, float]]]:
    """The most likely tokens after each text with their probabilities, the most likely first.

    Args:
        network: The network, see `load`.
        tokens: The texts as token numbers, (N, T), see `encode`.
        n: How many tokens to give.
    """
    top = network(tokens)[:, -1].softmax(dim=1).topk(min(n, len(CLASS_NAMES)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [[(CLASS_NAMES[i], value) for i, value in zip(*pair, strict=True)] for pair in pairs]


def main(arguments: list[str]) -> None:
    """Print the most likely next tokens after a text, or after a single token if no text is given."""
    weights = arguments[0] if arguments else Path(__file__).with_name("model.safetensors")
    network = load(weights)
    if len(arguments) > 1:
        tokens = encode(arguments[1])
    else:
        print(f"no text given; this follows {CLASS_NAMES[0]!r}:")
        tokens = torch.zeros(1, 1, dtype=torch.int64)
    for name, probability in predict(network, tokens)[0]:
        print(f"{probability:8.2%}  {name!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
