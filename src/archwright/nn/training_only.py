"""Removing the parts of a network that only its training needs."""

from __future__ import annotations

from torch import nn


def is_training_only(module: nn.Module) -> bool:
    """Whether the module's class says so."""
    return bool(getattr(type(module), "is_training_only", False))


def drop_training_only(network: nn.Module) -> None:
    """Remove the parts that only training needs: the modules whose class sets `is_training_only`."""
    for part in network.modules():
        for name, child in list(part.named_children()):
            if is_training_only(child):
                setattr(part, name, None)


def training_only_names(network: nn.Module) -> set[str]:
    """Names in a network's state dict that belong to parts which only training needs."""
    return {
        f"{name}.{leaf}"
        for name, module in network.named_modules()
        if is_training_only(module)
        for leaf in module.state_dict()
    }
