"""Networks of ENAS's spaces are trained and exported like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.spaces import EnasMacro, EnasMicro, EnasRnn, Space, open_architecture
from archwright.spaces.opening import published_architectures
from archwright.tasks import digits
from archwright.training.config import TrainingConfig
from archwright.training.loop import fit

Check = Callable[[Space, Arch], None]
Cli = Callable[..., Any]
MICRO = EnasMicro(input_shape=(3, 17, 20), n_classes=5, channels=4, cells=3, blocks=2, drop_path=0.2)
MACRO = EnasMacro(input_shape=(3, 17, 20), n_classes=5, channels=4, layers=6)
RNN = EnasRnn(input_shape=(5,), n_classes=12, hidden=16, nodes=4)
MICRO_CODE = "0214,1021/1014,1203"  # its reduction cell leaves out state 0
MACRO_CODE = "0,10,201,3011,41001,511111"
RNN_CODE = "sigmoid,tanh-0,relu-0,identity-1"
NETWORKS: dict[str, tuple[Space, str]] = {
    "micro": (MICRO, MICRO_CODE),
    "micro search form": (MICRO.search_form(), MICRO_CODE),
    "macro": (MACRO, MACRO_CODE),
    "macro search form": (MACRO.search_form(), MACRO_CODE),
    "rnn": (RNN, RNN_CODE),
    "rnn of all nodes": (RNN.with_args(output="nodes"), RNN_CODE),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_source_computes_the_same(check_source: Check, name: str) -> None:
    """The network that `model.py` builds takes the same weights and gives the same logits."""
    space, code = NETWORKS[name]
    check_source(space, space.parse(code))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_computes_the_same(check_onnx: Check, name: str) -> None:
    """At batches it was not traced with."""
    space, code = NETWORKS[name]
    check_onnx(space, space.parse(code))


def test_auxiliary_head_takes_part_in_training_only() -> None:
    """Two steps move it, and it is gone at the end; the states load into the plain network."""
    space = MICRO.with_args(input_shape=(1, 20, 20), n_classes=10, auxiliary=0.4)
    arch = space.parse(MICRO_CODE)
    torch.manual_seed(0)
    network = space.build_for_training(arch)
    head = network.get_submodule("auxiliary.layers.10")
    before = head.get_parameter("weight").detach().clone()
    config = TrainingConfig(steps=2, batch_size=8, learning_rate=0.1, precision="float32")
    fit(nn.Sequential(nn.Upsample(size=(20, 20)), network), digits(), config, seed=0)
    assert not torch.equal(head.get_parameter("weight"), before)
    space.build(arch).load_state_dict(network.state_dict(), strict=True)


def test_train_from_the_command_line(check_train: Check) -> None:
    """A small network of cells: every file is written."""
    check_train(MICRO, MICRO.parse(MICRO_CODE))


def test_costs_of_published_names(cli: Cli) -> None:
    """Names of networks win over those of spaces; a code stands behind the space's name."""
    done = cli("cost", "enas-micro", "--json")
    assert json.loads(done.out)["params"] == 3_894_372
    code = open_architecture("enas-rnn").space.code(open_architecture("enas-rnn").arch)
    done = cli("cost", f"enas-rnn:{code}", "--input", "1", "--json")
    assert json.loads(done.out)["params"] == 22_027_104


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in published_architectures() if name.startswith("enas")])
def test_train_of_published_names(check_published_train: Callable[[str, str], None], name: str) -> None:
    """Two steps of each network in full, at the size of the data."""
    check_published_train(name, "pydoc" if "rnn" in name else "digits")
