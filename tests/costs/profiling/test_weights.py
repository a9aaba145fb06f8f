"""Weights that files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from archwright.costs.profiling.weights import PAGE, SharedWeights, refer
from archwright.export.onnx import export_onnx, verify_onnx


def _network(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3, groups=width), nn.Flatten())


def test_places_hold_the_very_weights(tmp_path: Path) -> None:
    """Byte for byte, in the files that are written; small ones and biases stay with the network."""
    shared, networks = SharedWeights(0), [_network(64), _network(96), _network(32)]
    biases = [network[0].bias.clone() for network in networks]
    places = [shared.fill(network) for network in networks]
    assert shared.write(tmp_path) == ["weights2.bin", "weights3.bin"]  # 9 inputs an output: 1/4; 36: 1/8
    for network, found, bias in zip(networks, places, biases, strict=True):
        weights = [network[0].weight, network[2].weight]
        assert list(found) == [weight.detach().numpy().tobytes() for weight in weights][: len(found)]
        for data, (file, offset) in found.items():
            assert (tmp_path / file).read_bytes()[offset : offset + len(data)] == data
        assert torch.equal(network[0].bias, bias)
    assert [len(found) for found in places] == [2, 2, 2]


def test_no_two_weights_of_a_network_overlap() -> None:
    """Each begins on a page of its own, behind the one before."""
    network = nn.Sequential(*[nn.Linear(40, 40) for _ in range(3)])
    places = sorted(offset for _, offset in SharedWeights(0).fill(network).values())
    assert places == [0, 2 * PAGE, 4 * PAGE]  # 6,400 bytes are two pages


def test_sizes_are_usual_ones() -> None:
    """So that signals neither vanish nor explode: within a factor 1.5 of 1 / sqrt(inputs)."""
    for inputs in (1, 9, 24, 500, 4608):
        layer = nn.Linear(inputs, 4096 // inputs + 300)
        SharedWeights(0).fill(layer)
        assert 1 / 1.5 < float(layer.weight.detach().std()) * np.sqrt(inputs) < 1.5


def test_an_onnx_file_refers_to_them(tmp_path: Path) -> None:
    """It is small, and gives torch's outputs in ONNX Runtime."""
    shared, network = SharedWeights(0), _network(64).eval()
    places = shared.fill(network)
    export_onnx(network, (4, 9, 9), tmp_path / "net.onnx")
    whole = (tmp_path / "net.onnx").stat().st_size
    refer(tmp_path / "net.onnx", places)
    shared.write(tmp_path)
    assert (tmp_path / "net.onnx").stat().st_size < whole - 4 * 64 * 9 * 4
    assert verify_onnx(tmp_path / "net.onnx", network, (4, 9, 9)) < 1e-5
