"""Removing the parts of a network that only its training needs."""

from __future__ import annotations

from torch import nn


def drop_training_only(network: nn.Module) -> None:
    """Remove the parts that only training needs: the modules whose class sets `is_training_only`."""
    for part in network.modules():
        for name, child in list(part.named_children()):
            if getattr(type(child), "is_training_only", False):
                setattr(part, name, None)
