"""The auxiliary classifier: its loss, and its end with the training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.nn.ops.auxiliary import AuxiliaryHead
from archwright.nn.ops.nasnet import CellStack
from archwright.nn.training_only import drop_training_only
from archwright.spaces import open_architecture
from archwright.tasks import digits
from archwright.training.config import TrainingConfig
from archwright.training.networks import train_network


def test_adds_its_weighted_loss_once_a_pass() -> None:
    """And nothing where it did not run."""
    head = AuxiliaryHead(4, (8, 8), 3, weight=0.4)
    logits = head(torch.randn(2, 4, 8, 8))

    def loss_of(outputs: Tensor) -> Tensor:
        return outputs.square().sum()

    added = head.added_loss(loss_of)
    assert added is not None
    assert torch.equal(added, 0.4 * logits.square().sum())
    assert head.added_loss(loss_of) is None


def test_map_is_pooled_and_read_as_a_whole() -> None:
    """A map of 5 gives one pixel, one of 16 by 14 gives 4 by 4."""
    shapes = [AuxiliaryHead(4, sides, 3, weight=1.0).layers[5].weight.shape for sides in ((5, 5), (16, 14))]
    assert [tuple(shape) for shape in shapes] == [(768, 128, 1, 1), (768, 128, 4, 4)]


def test_only_marked_modules_are_dropped() -> None:
    """Wherever they are."""
    network = nn.Sequential(nn.Linear(1, 1), nn.Sequential())
    network[1].helper = AuxiliaryHead(4, (5, 5), 3, weight=1.0)
    drop_training_only(network)
    assert [name for name, _ in network.named_parameters()] == ["0.weight", "0.bias"]


def test_trained_network_has_none_and_was_trained_with_it() -> None:
    """The same names as a built network; another loss than without."""
    training, task = TrainingConfig(steps=1, batch_size=8), digits()
    losses = []
    for weight in (0.0, 0.4):
        sizes = {"channels": 2, "cells": 1, "input_shape": (1, 8, 8)}
        found = open_architecture("nasnet-a-6-768", **sizes, drop_path=0.0, auxiliary=weight)
        network, log = train_network(
            found.space, found.arch, task, training, part="train", seed=0, device=torch.device("cpu")
        )
        assert isinstance(network, CellStack)
        assert network.state_dict().keys() == found.space.build(found.arch).state_dict().keys()
        losses.append(log.curve[-1][1] if isinstance(log.curve[-1], tuple | list) else log.curve[-1])
    assert losses[1] > losses[0]
