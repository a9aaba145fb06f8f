"""Published cells as a Python file and as ONNX, trained and opened again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.finish.result import open_winner
from archwright.recipes.train import TrainConfig, train
from archwright.spaces import arch_document, open_architecture
from archwright.tasks import digits
from archwright.training.config import TrainingConfig

NAMES = ("nasnet-a-6-768", "nasnet-a-mobile", "nasnet-a-large", *(f"amoebanet-{x}" for x in ("a-32", "b", "c", "d")))
SHAPE = (3, 12, 12)


def narrow(name: str) -> nn.Module:
    """A published network with cells of four channels and statistics that matter."""
    torch.manual_seed(0)
    found = open_architecture(name, input_shape=SHAPE, n_classes=3, cells=1, channels=4)
    network = found.space.build(found.arch)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(8, *SHAPE))
    return network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_source_gives_the_logits(name: str) -> None:
    """`model.py` of plain torch builds the network with the same names."""
    network = narrow(name)
    text = network_source(network, input_shape=SHAPE, class_names=["a", "b", "c"], preprocessing={})
    assert "archwright" not in "\n".join(line for line in text.splitlines() if "import" in line)
    assert verify_source(text, network, SHAPE) <= 1e-5


@pytest.mark.slow
def test_onnx_gives_the_logits(tmp_path: Path) -> None:
    """AmoebaNet-C's file, whose reduction emits a state through a factorized reduction, at two batches."""
    network = narrow("amoebanet-c")
    exported = export_onnx(network, SHAPE, tmp_path / "model.onnx")
    assert verify_onnx(exported.path, network, SHAPE, batches=(1, 3)) < 1e-5


def test_training_with_auxiliary_classifier_ends_without(tmp_path: Path) -> None:
    """Trained, handed over, opened again and resumed: nowhere is there a trace of it."""
    found = open_architecture("nasnet-a-6-768", input_shape=(1, 8, 8), cells=1, channels=2)
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(arch_document(found.space, found.arch)))
    config = TrainConfig(arch=str(file), training=TrainingConfig(steps=2, batch_size=8), threads=1, int8=False)
    result = train(config, digits(), out=tmp_path / "run")
    names = found.space.build(found.arch).state_dict().keys()
    assert result.model().state_dict().keys() == names
    assert not [name for name in names if "auxiliary" in name]
    assert open_winner(tmp_path / "run")[1].state_dict().keys() == names
    again = train(config, digits(), out=tmp_path / "run", resume=True)
    assert again.record == result.record


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_published_networks_train_on_digits(name: str, tmp_path: Path) -> None:
    """From the command line, at their full width."""
    command = [
        "-m",
        "archwright",
        "train",
        name,
        "--data",
        "digits",
        "--preset",
        "smoke",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "best" / "model.onnx").is_file()
