"""The tensors of a training by name, and a network that takes them up again bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.errors import RunFolderError


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, also buffers that a state dict leaves out; not copied."""
    parameters = {f"parameter/{name}": tensor.detach() for name, tensor in network.named_parameters()}
    return parameters | {f"buffer/{name}": tensor for name, tensor in network.named_buffers()}


@torch.no_grad()
def load_network(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy what `network_tensors` gave into the network; its tensors keep their identity and memory layout.

    Raises:
        RunFolderError: If names or shapes are not those of the network.
    """
    live = network_tensors(network)
    stored = {path: tensor for path, tensor in tensors.items() if path.startswith(("parameter/", "buffer/"))}
    if live.keys() != stored.keys():
        raise RunFolderError(
            f"the checkpoint is of another network: {_names(live.keys() ^ stored.keys())} on one side only; "
            "resume with the code and options the run began with"
        )
    for path, tensor in live.items():
        if tensor.shape != stored[path].shape:
            raise RunFolderError(
                f"the checkpoint is of another network: {path} has shape {tuple(stored[path].shape)} there and "
                f"{tuple(tensor.shape)} here; resume with the code and options the run began with"
            )
        tensor.copy_(stored[path])


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below a prefix, named without it."""
    start = f"{prefix}/"
    return {path.removeprefix(start): tensor for path, tensor in tensors.items() if path.startswith(start)}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `under`: the same tensors, named with the prefix."""
    return {f"{prefix}/{path}": tensor for path, tensor in tensors.items()}


def check_same_training(stored: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse to go on with a training under other data, seed or configuration than it began with.

    Raises:
        RunFolderError: At the first difference, with both values.
    """
    for key, value in current.items():
        if stored.get(key) != value:
            raise RunFolderError(
                f"the checkpoint was trained with {key} = {stored.get(key)!r}, now it is {value!r}; "
                "resume with the data and options the run began with, or choose another --out"
            )


def _names(paths: Iterable[str]) -> str:
    every = sorted(paths)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
