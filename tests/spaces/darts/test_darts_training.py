"""Networks of DARTS's spaces are trained and exported like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.spaces import Darts, DartsRnn, Snas, Space, arch_document, open_architecture
from archwright.spaces.opening import published_architectures
from archwright.tasks import digits
from archwright.training.config import TrainingConfig
from archwright.training.loop import fit

Cli = Callable[..., Any]
OPTIONS = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "training.steps=2")
SMALL = {"input_shape": (3, 9, 12), "n_classes": 5, "channels": 4, "cells": 3, "drop_path": 0.2}
NETWORKS = {
    "darts": (Darts(**SMALL), "darts-v2"),  # with odd sides
    "darts search form": (Darts(**SMALL).search_form(), "pc-darts-cifar"),
    "snas": (Snas(**SMALL), "snas-aggressive"),
    "darts-rnn": (DartsRnn(input_shape=(5,), n_classes=12, hidden=16), "darts-rnn-v2"),
    "darts-rnn search form": (DartsRnn(input_shape=(5,), n_classes=12, hidden=16).search_form(), "darts-rnn-v1"),
}


def randomized(space: Space, name: str) -> nn.Module:
    """A published network in a small space, with weights and statistics that are nowhere zero or one."""
    torch.manual_seed(0)
    network = space.build(open_architecture(name).arch)
    for tensor in network.state_dict().values():
        if tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_source_computes_the_same(name: str) -> None:
    """The network that `model.py` builds takes the same weights and gives the same logits."""
    space, arch = NETWORKS[name]
    network = randomized(space, arch)
    names = [f"class {i}" for i in range(space.n_classes)]
    is_text = len(space.input_shape) == 1
    preprocessing = {} if is_text else {"layout": "CHW", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    text = network_source(network, input_shape=space.input_shape, class_names=names, preprocessing=preprocessing)
    assert verify_source(text, network, space.input_shape) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_computes_the_same(name: str, tmp_path: Path) -> None:
    """At batches it was not traced with."""
    space, arch = NETWORKS[name]
    network = randomized(space, arch)
    exported = export_onnx(network, space.input_shape, tmp_path / "model.onnx", metadata={})
    assert verify_onnx(exported.path, network, space.input_shape, batches=(1, 3)) < 1e-5


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


def test_train_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    """DARTS's second-order cells in a network of three: every file is written."""
    found = open_architecture("darts-v2")
    small = found.space.with_args(channels=4, cells=3)
    (tmp_path / "arch.json").write_text(json.dumps(arch_document(small, found.arch)), "utf-8")
    done = cli("train", tmp_path / "arch.json", "--data", "digits", *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert {p.name for p in (tmp_path / "run" / "best").iterdir()} == {
        *("arch.json", "model.onnx", "model.py", "model.safetensors")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in published_architectures() if name.startswith(("darts", "pc-", "snas"))]
)
def test_train_of_published_names(cli: Cli, tmp_path: Path, name: str) -> None:
    """Two steps of each network in full, at the size of the data."""
    data = "pydoc" if "rnn" in name else "digits"
    done = cli("train", name, "--data", data, *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "best" / "model.onnx").exists()
