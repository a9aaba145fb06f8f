"""Networks of ENAS's spaces are trained and exported like any other."""

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
from archwright.spaces import EnasMacro, EnasMicro, EnasRnn, Space, arch_document, open_architecture
from archwright.spaces.opening import published_architectures
from archwright.tasks import digits
from archwright.training.config import TrainingConfig
from archwright.training.loop import fit

Cli = Callable[..., Any]
OPTIONS = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "training.steps=2")
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


def randomized(name: str) -> tuple[Space, nn.Module]:
    """A network with weights and statistics that are nowhere zero or one."""
    torch.manual_seed(0)
    space, code = NETWORKS[name]
    network = space.build(space.parse(code))
    for tensor in network.state_dict().values():
        if tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return space, network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_source_computes_the_same(name: str) -> None:
    """The network that `model.py` builds takes the same weights and gives the same logits."""
    space, network = randomized(name)
    names = [f"class {i}" for i in range(space.n_classes)]
    is_text = len(space.input_shape) == 1
    preprocessing = {} if is_text else {"layout": "CHW", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    text = network_source(network, input_shape=space.input_shape, class_names=names, preprocessing=preprocessing)
    assert verify_source(text, network, space.input_shape) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_computes_the_same(name: str, tmp_path: Path) -> None:
    """At batches it was not traced with."""
    space, network = randomized(name)
    exported = export_onnx(network, space.input_shape, tmp_path / "model.onnx", metadata={})
    assert verify_onnx(exported.path, network, space.input_shape, batches=(1, 3)) < 1e-5


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


def test_train_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    """A small network of cells: every file is written."""
    document = arch_document(MICRO, MICRO.parse(MICRO_CODE))
    (tmp_path / "arch.json").write_text(json.dumps(document), "utf-8")
    done = cli("train", tmp_path / "arch.json", "--data", "digits", *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert {p.name for p in (tmp_path / "run" / "best").iterdir()} == {
        *("arch.json", "model.onnx", "model.py", "model.safetensors")
    }


def test_costs_of_published_names(cli: Cli) -> None:
    """Names of networks win over those of spaces; a code stands behind the space's name."""
    done = cli("cost", "enas-micro", "--json")
    assert json.loads(done.out)["params"] == 3_894_372
    code = open_architecture("enas-rnn").space.code(open_architecture("enas-rnn").arch)
    done = cli("cost", f"enas-rnn:{code}", "--input", "1", "--json")
    assert json.loads(done.out)["params"] == 22_027_104


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in published_architectures() if name.startswith("enas")])
def test_train_of_published_names(cli: Cli, tmp_path: Path, name: str) -> None:
    """Two steps of each network in full, at the size of the data."""
    data = "pydoc" if "rnn" in name else "digits"
    done = cli("train", name, "--data", data, *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "best" / "model.onnx").exists()
