"""Networks of Zoph & Le's spaces are trained and exported like any other."""

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
from archwright.spaces import NasRl, NasRlRnn, Space, arch_document, open_architecture

Cli = Callable[..., Any]
OPTIONS = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "training.steps=2")
STRIDED = NasRl(input_shape=(3, 9, 12), n_classes=5, layers=4, strides=True, filters=[4, 6], pool_after=[2])
NETWORKS: dict[str, tuple[Space, str]] = {
    "nas-rl": (STRIDED, "7x5-4s2x1/3x3-6s1x3:1/5x1-4s1x2:00/3x3-6s1x1:101"),
    "nas-rl-rnn": (
        NasRlRnn(input_shape=(5,), n_classes=12, hidden=16, base=2, bias=True, more_functions=True),
        "max-sin,elem_mult-relu,add-sigmoid/add-tanh/1,0",
    ),
    "nascell": (NasRlRnn(input_shape=(5,), n_classes=12, hidden=16), ""),
}


def randomized(name: str) -> tuple[Space, nn.Module]:
    """A network with weights and statistics that are nowhere zero or one."""
    torch.manual_seed(0)
    space, code = NETWORKS[name]
    network = space.build(space.parse(code) if code else open_architecture(name).arch)
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


def test_train_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    """Four layers with strides and a pooling: every file is written."""
    space = STRIDED.with_args(input_shape=(1, 8, 8), n_classes=10)
    document = arch_document(space, space.parse(NETWORKS["nas-rl"][1]))
    (tmp_path / "arch.json").write_text(json.dumps(document), "utf-8")
    done = cli("train", tmp_path / "arch.json", "--data", "digits", *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert {p.name for p in (tmp_path / "run" / "best").iterdir()} == {
        *("arch.json", "model.onnx", "model.py", "model.safetensors")
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), [("nas-rl-v1", "digits"), ("nascell", "pydoc")])
def test_train_of_published_names(cli: Cli, tmp_path: Path, name: str, data: str) -> None:
    """Two steps of each network in full, at the size of the data."""
    done = cli("train", name, "--data", data, *OPTIONS, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "best" / "model.onnx").exists()
