"""The space of SPOS's blocks and channels against the paper's fact sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import CostTables
from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.nn import Supernet, selection_of
from archwright.spaces import Space, SposChannels, SposSpace, open_architecture
from archwright.testing import SpaceContract

BLOCKS = "00311100202110202132"
SCALES = "65352634257546744543"
SMALL = SposChannels(input_shape=(1, 8, 8), n_classes=10)


class TestContract(SpaceContract):
    n_archs = 2

    def make(self) -> Space:
        return SposChannels(input_shape=(1, 8, 8), n_classes=10, scales=(0.4, 1.0, 1.6))


def test_size() -> None:
    """20 blocks of 4 candidates at 8 widths; 10 widths with the list of CanyonWind."""
    assert SposChannels().size() == 32**20
    more = SposChannels(scales=[0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
    assert more.size() == 40**20
    assert SMALL.size() == 32**10


def test_published_network() -> None:
    """The released network: its lists, and parameters and multiply-accumulates to the unit."""
    found = open_architecture("spos-block-channel")
    assert found.space.code(found.arch) == f"{BLOCKS}.{SCALES}"
    counts = []
    for affine in (True, False):
        with torch.device("meta"):
            network = found.space.with_args(affine=affine).build(found.arch)
        counted = count(network, (3, 224, 224))
        assert counted.uncounted == []
        counts.append((counted.macs, counted.params))
    assert counts == [(327_857_920, 3_432_579), (327_857_920, 3_407_035)]


def test_half_the_width_is_the_block_space() -> None:
    """At scale 1 a network costs what that of the block space does, and gives its logits."""
    blocks = "0123012301"
    plain = SposSpace(input_shape=(1, 8, 8), n_classes=10)
    scaled = SposChannels(input_shape=(1, 8, 8), n_classes=10, scales=[1.0])
    one, other = plain.build(plain.parse(blocks)).eval(), scaled.build(scaled.parse(f"{blocks}.{'0' * 10}")).eval()
    other.load_state_dict(one.state_dict(), strict=True)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(one(x), other(x))


def test_channels_inside_the_blocks() -> None:
    """Half the channels behind the block times the scale, rounded down: 16 x 0.2 is 3, 64 x 1.6 is 102."""
    arch = SMALL.parse("0000000000.0123456707")
    network = SMALL.build(arch)
    widths = [network.get_submodule(f"block{i}").main[0][0].out_channels for i in range(10)]  # type: ignore[index]
    assert widths == [3, 6, 19, 25, 64, 76, 89, 102, 25, 204]


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 28, 28)])
def test_declared_decisions_are_those_recorded(shape: tuple[int, ...]) -> None:
    """Asked inside each of four candidates, a scale is asked for always."""
    space, chooser = SposChannels(input_shape=shape), Supernet()
    with torch.device("meta"):
        space.network(chooser)
    assert space.decisions == chooser.decisions()


def test_a_step_moves_the_first_channels_only() -> None:
    """Of the convolution into the block; the others of the widest form get a gradient of zero."""
    network = SMALL.search_form().supernet().train()
    selection_of(network).activate(SMALL.parse("0000000000.2222222222"))
    network(torch.randn(8, 1, 8, 8)).square().sum().backward()
    weight = network.get_submodule("block1.shuffle3.main.0.0").weight
    assert isinstance(weight, nn.Parameter)
    assert weight.grad is not None
    assert weight.shape[0] == 25
    assert weight.grad.flatten(1).any(dim=1).tolist() == [True] * 9 + [False] * 16


def test_costs_of_the_released_network_from_tables() -> None:
    """Looked up, as in a search at full size."""
    tables = CostTables(SposChannels())
    assert tables.is_additive
    row = np.array([[int(d) for pair in zip(BLOCKS, SCALES, strict=True) for d in pair]], dtype=np.int16)
    assert tables.cost_rows(row).tolist() == [[3_432_579, 327_857_920]]


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([], "list of 1 to 10"),
        ("0.5", "list of 1 to 10"),
        ([0.5, -1.0], r"scales\[1\] is -1.0; give a number above 0.5"),
        ([1.0, 1.0], r"scales\[1\] is 1.0"),
        ([float("inf")], r"scales\[0\] is inf"),
        ([float("nan")], r"scales\[0\] is nan"),
        ([1e9], r"scales\[0\] is 1000000000.0; give a number above 0, at most 16"),
        ([True], r"scales\[0\] is True"),
        ([0.01], r"scales\[0\] is 0.01, which leaves none of the 16 channels"),
    ],
)
def test_impossible_scales_are_refused(scales: Any, message: str) -> None:
    """None, no list, falling ones, no numbers, too narrow ones."""
    with pytest.raises(InvalidValueError, match=message):
        SposChannels(input_shape=(1, 8, 8), scales=scales)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("0" * 20, "has 20 blocks and 0 scales; space 'spos-block-channel' takes 10 digits, a dot and 10 digits"),
        ("0000000000.000000000", "10 blocks and 9 scales"),
        ("0000000004.0000000000", "'4' for decision 'block9'; use 0 to 3"),
        ("0000000000.8000000000", "'8' for decision 'scale0'; use 0 to 7"),
        ("000000000٣.0000000000", "for decision 'block9'"),
    ],
)
def test_impossible_codes_are_refused(code: str, message: str) -> None:
    """Scales left out, one too few, unknown candidates and digits."""
    with pytest.raises(InvalidArchError, match=message):
        SMALL.parse(code)


def narrow() -> nn.Module:
    """The published network's first ten blocks in the small form, with statistics that matter."""
    torch.manual_seed(0)
    network = SMALL.build(SMALL.parse(f"{BLOCKS[:10]}.{SCALES[:10]}"))
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(8, 1, 8, 8))
    return network.eval()


def test_source_gives_the_logits() -> None:
    """As `model.py`."""
    network = narrow()
    text = network_source(network, input_shape=(1, 8, 8), class_names=list("abcdefghij"), preprocessing={})
    assert verify_source(text, network, (1, 8, 8)) <= 1e-5


@pytest.mark.slow
def test_onnx_gives_the_logits(tmp_path: Path) -> None:
    """As `model.onnx`."""
    network = narrow()
    export_onnx(network, (1, 8, 8), tmp_path / "model.onnx")
    assert verify_onnx(tmp_path / "model.onnx", network, (1, 8, 8)) < 1e-5


@pytest.mark.slow
def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The published network on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", "spos-block-channel", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
