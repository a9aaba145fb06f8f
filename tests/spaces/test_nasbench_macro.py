"""The space of NAS-Bench-Macro against the benchmark's table."""

from __future__ import annotations

import csv
import gzip
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
from archwright.nn.features import features_only
from archwright.ranking import read_truth
from archwright.spaces import NasBenchMacro, Space, open_architecture
from archwright.testing import SpaceContract

TABLE = "nasbench_macro/nasbench_macro_cifar10.csv.gz"


class TestContract(SpaceContract):
    n_archs = 2

    def make(self) -> Space:
        return NasBenchMacro(input_shape=(1, 8, 8), n_classes=4, width=4)


def lines_of(path: Path) -> list[dict[str, str]]:
    """The benchmark's lines by column."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_size() -> None:
    """Eight layers of three candidates."""
    assert NasBenchMacro().size() == 3**8 == 6_561


def test_costs_of_every_member(shared_data: Callable[[str], Path]) -> None:
    """The table's parameters and FLOPs (which are multiply-accumulates), to the unit, of all 6,561."""
    lines = lines_of(shared_data(TABLE))
    space = NasBenchMacro()
    rows = space.decisions.rows([space.parse(line["arch"]) for line in lines])
    found = CostTables(space).cost_rows(rows)
    assert len(lines) == 6_561
    assert np.array_equal(found, [[int(line["params"]), int(line["flops"])] for line in lines])


def test_cheapest_member_by_hand() -> None:
    """Stem, three 1x1 convolutions, 1x1 convolution to 1280, classifier, each convolution with batch norm."""
    found = open_architecture("nasbench-macro:00000000")
    with torch.device("meta"):
        counted = count(found.space.build(found.arch), (3, 32, 32))
    pairs = [(32, 64, 256), (64, 128, 64), (128, 256, 16), (256, 1280, 16)]
    macs = 27 * 32 * 1024 + sum(a * b * pixels for a, b, pixels in pairs) + 12_800
    params = 27 * 32 + 64 + sum(a * b + 2 * b for a, b, _ in pairs) + 12_810
    assert (macs, params) == (7_713_280, 387_882)
    assert (counted.macs, counted.params, counted.uncounted) == (macs, params, [])


def test_best_member(shared_data: Callable[[str], Path]) -> None:
    """93.13 % by the table; the one the repository shows."""
    space = NasBenchMacro()
    truth, column = read_truth(shared_data(TABLE), space)
    assert (len(truth), column) == (6_561, "mean_acc")
    best = max(truth, key=truth.__getitem__)
    assert (space.code(best), truth[best]) == ("22212202", 93.1267)


def test_members_of_one_key_share_their_line(shared_data: Callable[[str], Path]) -> None:
    """3 x 3 networks of the first stage, 3 x 7 of the others: 3,969 keys, and equal figures wherever they agree."""
    space, figures = NasBenchMacro(), {}
    for line in lines_of(shared_data(TABLE)):
        key = space.equivalence_key(space.parse(line["arch"]))
        rest = {name: value for name, value in line.items() if name != "arch"}
        assert figures.setdefault(key, rest) == rest
    assert len(figures) == 3 * 3 * (3 * 7) ** 2 == 3_969


def test_members_of_one_key_are_one_function() -> None:
    """With the weights of the layers that do something; an identity that changes the shape stays where it is."""
    space = NasBenchMacro(input_shape=(1, 8, 8), width=2)
    keys = [space.equivalence_key(space.parse(code)) for code in ("10201022", "10210022", "10021022")]
    assert keys == ["10210022", "10210022", "10021022"]
    one, other = (space.build(space.parse(code)).eval() for code in ("10201022", "10210022"))
    moved = {name.replace("layer4", "layer3"): tensor for name, tensor in one.state_dict().items()}
    other.load_state_dict(moved, strict=True)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(one(x), other(x))


def test_maps_at_32_pixels() -> None:
    """Each stage's first layer halves the image and doubles the width, whatever is chosen."""
    space = NasBenchMacro()
    for code in ("00000000", "12121212"):
        with torch.device("meta"):
            network = space.build(space.parse(code))
            x, shapes = torch.empty(1, 3, 32, 32), {}
            for name, stage in network.named_children():
                x = stage(x)
                shapes[name] = tuple(x.shape[1:])
        table = {"stem": (32, 32), "layer0": (64, 16), "layer1": (64, 16), "layer2": (128, 8), "layer5": (256, 4)}
        assert {name: shapes[name] for name in table} == {name: (c, s, s) for name, (c, s) in table.items()}


def test_feature_maps() -> None:
    """One at each stride, for a detector; the 1x1 convolution to 1280 is the classifier's."""
    with torch.device("meta"):
        network = NasBenchMacro().build(NasBenchMacro().parse("12121212"))
    expected = [(1, 32), (2, 64), (4, 128), (8, 256)]
    assert features_only(network, (3, 32, 32)).strides_and_channels == expected


@pytest.mark.parametrize(("side", "last"), [(4, 4), (7, 4), (8, 4), (16, 4), (25, 4), (32, 4), (64, 8)])
def test_small_images(side: int, last: int) -> None:
    """As many strides as leave a map of 4 x 4."""
    with torch.device("meta"):
        network = NasBenchMacro(input_shape=(1, side, side)).build(NasBenchMacro().parse("00000000"))
        assert isinstance(network, nn.Sequential)
        assert network[:-1](torch.empty(2, 1, side, side)).shape == (2, 256, last, last)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"width": 0}, r"width\[0\] is 0"), ({"input_shape": (3, 3, 3)}, "not 3"), ({"n_classes": 0}, "1 to 1,000,000")],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        NasBenchMacro(**arguments)


@pytest.mark.parametrize(("code", "message"), [("0000000", "7 positions"), ("00000003", "'3' for decision 'layer7'")])
def test_impossible_codes_are_refused(code: str, message: str) -> None:
    """A layer too few, an unknown candidate."""
    with pytest.raises(InvalidArchError, match=message):
        NasBenchMacro().parse(code)


@pytest.mark.slow
def test_onnx_gives_the_logits(tmp_path: Path) -> None:
    """The best member's, narrow."""
    torch.manual_seed(0)
    space = NasBenchMacro(input_shape=(1, 8, 8), width=4)
    network = space.build(space.parse("22212202")).eval()
    export_onnx(network, (1, 8, 8), tmp_path / "model.onnx")
    assert verify_onnx(tmp_path / "model.onnx", network, (1, 8, 8)) < 1e-5


@pytest.mark.slow
def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The best member on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", "nasbench-macro:22212202", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
