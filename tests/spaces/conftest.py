"""What families of spaces are tested by alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.spaces import Space, arch_document

SMOKE = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "training.steps=2")
"""Two steps of a training."""


def randomized(space: Space, arch: Arch) -> nn.Module:
    """A network with weights and statistics that are nowhere zero or one."""
    torch.manual_seed(0)
    network = space.build(arch)
    for tensor in network.state_dict().values():
        if tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture
def check_source() -> Callable[[Space, Arch], None]:
    """The network that `model.py` builds takes the same weights and gives the same logits."""

    def check(space: Space, arch: Arch) -> None:
        network = randomized(space, arch)
        names = [f"class {i}" for i in range(space.n_classes)]
        is_text = len(space.input_shape) == 1
        preprocessing = {} if is_text else {"layout": "CHW", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
        text = network_source(network, input_shape=space.input_shape, class_names=names, preprocessing=preprocessing)
        assert verify_source(text, network, space.input_shape) <= 1e-5

    return check


@pytest.fixture
def check_onnx(tmp_path: Path) -> Callable[[Space, Arch], None]:
    """ONNX Runtime gives the same logits at batches that were not traced."""

    def check(space: Space, arch: Arch) -> None:
        network = randomized(space, arch)
        exported = export_onnx(network, space.input_shape, tmp_path / "model.onnx", metadata={})
        assert verify_onnx(exported.path, network, space.input_shape, batches=(1, 3)) < 1e-5

    return check


@pytest.fixture
def check_train(cli: Callable[..., Any], tmp_path: Path) -> Callable[[Space, Arch], None]:
    """`archwright train` on digits writes every file."""

    def check(space: Space, arch: Arch) -> None:
        (tmp_path / "arch.json").write_text(json.dumps(arch_document(space, arch)), "utf-8")
        done = cli("train", tmp_path / "arch.json", "--data", "digits", *SMOKE, "--out", tmp_path / "run")
        assert done.code == 0, done.err
        assert {p.name for p in (tmp_path / "run" / "best").iterdir()} == {
            *("README.md", "arch.json", "model.onnx", "model.py", "model.safetensors")
        }

    return check


@pytest.fixture
def check_published_train(cli: Callable[..., Any], tmp_path: Path) -> Callable[[str, str], None]:
    """`archwright train NAME --data DATA`, to the ONNX file."""

    def check(name: str, data: str) -> None:
        done = cli("train", name, "--data", data, *SMOKE, "--out", tmp_path / "run")
        assert done.code == 0, done.err
        assert (tmp_path / "run" / "best" / "model.onnx").exists()

    return check


@pytest.fixture
def stage_shapes() -> Callable[[Space, Arch], dict[str, tuple[int, ...]]]:
    """Channels and sides behind each stage of a chain, by its name."""

    def shapes(space: Space, arch: Arch) -> dict[str, tuple[int, ...]]:
        found = {}
        with torch.device("meta"):
            x = torch.empty(1, *space.input_shape)
            for name, stage in space.build(arch).named_children():
                x = stage(x)
                found[name] = tuple(x.shape[1:])
        return found

    return shapes
