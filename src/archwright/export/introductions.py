"""The docstring of a generated `model.py`, which depends on the inputs of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from archwright.nn.inputs import Signature, TensorSpec

_HEADER = '''"""A trained network, written by archwright: PyTorch source that needs nothing but torch.

On the command line:
    python model.py IMAGE ...          the classes an image most likely shows (needs Pillow)
    python model.py                    the answer to random noise, with model.safetensors beside this file

In Python:
    network = model.load("model.safetensors")       # a torch.nn.Module in evaluation mode
    logits = network(model.preprocess(images))      # images: uint8 (N, H, W, C)
"""'''

_TEXT_HEADER = '''"""A trained language model, written by archwright: PyTorch source that needs nothing but torch.

On the command line:
    python model.py WEIGHTS TEXT       the words that most likely follow a text
    python model.py                    those that follow the most frequent word, with model.safetensors beside this file

In Python:
    network = model.load("model.safetensors")       # a torch.nn.Module in evaluation mode
    logits = network(model.encode("a text"))        # (1, T, words): scores of what follows each word
"""'''

_TENSOR_HEADER = '''"""A trained network, written by archwright: PyTorch source that needs nothing but torch.

On the command line:
    python model.py                    the shapes of its outputs for random inputs, with model.safetensors beside it

In Python:
    network = model.load("model.safetensors")       # a torch.nn.Module in evaluation mode
    outputs = network({names})

Inputs:
{inputs}
{outputs}"""'''

Kind = Literal["images", "text", "tensors"]


def kind_of(signature: Signature, class_names: Sequence[str], preprocessing: Mapping[str, Any]) -> Kind:
    """What the inputs mean, and so what the file does with the network.

    Args:
        signature: What the network takes and gives.
        class_names: Names of the classes or tokens; empty where there are none.
        preprocessing: Of the task; its `layout` is "T" for texts. Empty where inputs are used as they are.
    """
    if preprocessing.get("layout") == "T":
        return "text"
    return "tensors" if len(signature.inputs) > 1 or not (class_names or preprocessing) else "images"


def introduction(kind: Kind, signature: Signature) -> str:
    """The docstring of the file: how the network is used, and what tensors it takes where nothing else says that.

    Args:
        kind: What the inputs mean.
        signature: What the network takes and gives.
    """
    if kind != "tensors":
        return _HEADER if kind == "images" else _TEXT_HEADER
    names = [re.sub(r"\W", "_", spec.name) for spec in signature.inputs]
    outputs = f"\nOutputs:\n{_described(signature.outputs)}\n" if signature.outputs else ""
    return _TENSOR_HEADER.format(names=", ".join(names), inputs=_described(signature.inputs), outputs=outputs)


def _described(specs: Sequence[TensorSpec]) -> str:
    """One line a tensor: its name, type and shape."""
    lines = []
    for spec in specs:
        tokens = "" if spec.n_tokens is None else f", each from 0 to {spec.n_tokens - 1}"
        shape = ", ".join(map(str, ("N", *spec.shape)))
        name = re.sub(r'["\\]|[^ -~]', "?", spec.name)  # it stands in a docstring
        lines.append(f"    {name:<14} {spec.dtype} ({shape}){tokens}")
    return "\n".join(lines)
