"""Networks of DARTS's spaces are trained and exported like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.spaces import Darts, DartsRnn, Snas, Space, open_architecture
from archwright.spaces.opening import published_architectures
from archwright.tasks import digits
from archwright.training.config import TrainingConfig
from archwright.training.loop import fit

Check = Callable[[Space, Arch], None]
SMALL = {"input_shape": (3, 9, 12), "n_classes": 5, "channels": 4, "cells": 3, "drop_path": 0.2}
NETWORKS = {
    "darts": (Darts(**SMALL), "darts-v2"),  # with odd sides
    "darts search form": (Darts(**SMALL).search_form(), "pc-darts-cifar"),
    "snas": (Snas(**SMALL), "snas-aggressive"),
    "darts-rnn": (DartsRnn(input_shape=(5,), n_classes=12, hidden=16), "darts-rnn-v2"),
    "darts-rnn search form": (DartsRnn(input_shape=(5,), n_classes=12, hidden=16).search_form(), "darts-rnn-v1"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_source_computes_the_same(check_source: Check, name: str) -> None:
    """The network that `model.py` builds takes the same weights and gives the same logits."""
    space, published = NETWORKS[name]
    check_source(space, open_architecture(published).arch)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_computes_the_same(check_onnx: Check, name: str) -> None:
    """At batches it was not traced with."""
    space, published = NETWORKS[name]
    check_onnx(space, open_architecture(published).arch)


def test_auxiliary_head_and_drop_path_take_part_in_training_only() -> None:
    """Two steps move the auxiliary head, which is gone at the end; the states load into the plain network."""
    space = Darts(input_shape=(1, 29, 29), n_classes=10, channels=4, cells=3, drop_path=0.2, auxiliary=0.4)
    arch = open_architecture("darts-v2").arch
    torch.manual_seed(0)
    network = space.build_for_training(arch)
    head = network.get_submodule("auxiliary.layers.9")
    before = head.get_parameter("weight").detach().clone()
    config = TrainingConfig(steps=2, batch_size=8, learning_rate=0.1, precision="float32")
    fit(nn.Sequential(nn.Upsample(size=(29, 29)), network), digits(), config, seed=0)
    assert not torch.equal(head.get_parameter("weight"), before)
    space.build(arch).load_state_dict(network.state_dict(), strict=True)


def test_train_from_the_command_line(check_train: Check) -> None:
    """DARTS's second-order cells in a network of three: every file is written."""
    found = open_architecture("darts-v2")
    check_train(found.space.with_args(channels=4, cells=3), found.arch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in published_architectures() if name.startswith(("darts", "pc-", "snas"))]
)
def test_train_of_published_names(check_published_train: Callable[[str, str], None], name: str) -> None:
    """Two steps of each network in full, at the size of the data."""
    check_published_train(name, "pydoc" if "rnn" in name else "digits")
