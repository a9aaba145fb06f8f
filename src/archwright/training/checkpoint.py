"""Save the tensors of a training by name, and restore them bit for bit."""

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


def networks_tensors(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Those of several networks, each below its name; what two of them hold is named by the first only."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, network in networks.items():
        live = [*network.parameters(), *network.buffers()]
        for (name, tensor), original in zip(network_tensors(network).items(), live, strict=True):
            if id(original) not in seen:
                seen.add(id(original))
                found[_joined(prefix, name)] = tensor
    return found


def load_network(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy what `network_tensors` gave into the network; its tensors keep their identity and memory layout.

    Raises:
        RunFolderError: If names or shapes are not those of the network.
    """
    load_networks({"": network}, tensors)


@torch.no_grad()
def load_networks(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Copy what `networks_tensors` gave; as `load_network`."""
    live = networks_tensors(networks)
    kinds = tuple(_joined(prefix, kind) for prefix in networks for kind in ("parameter/", "buffer/"))
    stored = {path: tensor for path, tensor in tensors.items() if path.startswith(kinds)}
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
    """The tensors whose names begin with a prefix, named without it; all of them for the empty prefix."""
    start = _joined(prefix, "")
    return {path.removeprefix(start): tensor for path, tensor in tensors.items() if path.startswith(start)}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `under`: the same tensors, named with the prefix."""
    return {_joined(prefix, path): tensor for path, tensor in tensors.items()}


def _joined(prefix: str, path: str) -> str:
    return f"{prefix}/{path}" if prefix else path


def check_same_training(stored: Mapping[str, Any], current: Mapping[str, Any], absent: Mapping[str, Any]) -> None:
    """Refuse to go on with a training under other data, seed or configuration than it began with.

    Args:
        stored: What the checkpoint says.
        current: What is asked for now.
        absent: What keys meant in checkpoints that lack them.

    Raises:
        RunFolderError: At the first difference, with both values.
    """
    for key, value in current.items():
        before = stored.get(key, absent.get(key))
        if before != value:
            raise RunFolderError(
                f"the checkpoint was trained with {key} = {before!r}, now it is {value!r}; "
                "resume with the data and options the run began with, or choose another --out"
            )


def _names(paths: Iterable[str]) -> str:
    every = sorted(paths)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
