"""A network that resizes its images, as a file of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.spaces import OfaMobileNetV3

SHAPE = (1, 20, 12)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small one that takes images of 20 x 12 and works at 13 x 8."""
    widths = (8, 8, 8, 8, 16, 16, 16, 24, 32)
    space = OfaMobileNetV3(input_shape=SHAPE, n_classes=4, widths=widths, resolutions=(8, 12), depths=(1,))
    torch.manual_seed(0)
    arch = {**space.sample(1, np.random.default_rng(0))[0], "resolution": 8}
    made = space.build(arch).eval()
    assert made.get_submodule("resize")(torch.zeros(1, *SHAPE)).shape[2:] == (13, 8)
    return made


@pytest.mark.slow
def test_onnx_gives_the_logits(network: nn.Module, tmp_path: Path) -> None:
    """Resizing included, at two batches."""
    exported = export_onnx(network, SHAPE, tmp_path / "model.onnx")
    assert verify_onnx(exported.path, network, SHAPE, batches=(1, 3)) < 1e-4


def test_source_gives_the_logits(network: nn.Module) -> None:
    """Plain torch that needs nothing of ours."""
    text = network_source(network, input_shape=SHAPE, class_names=["a", "b", "c", "d"], preprocessing={})
    assert "archwright" not in "\n".join(line for line in text.splitlines() if "import" in line)
    assert verify_source(text, network, SHAPE) <= 1e-5
