"""The documents that `describe` and `cost` print."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import cost, describe
from archwright.costs.describe import layer_rows
from archwright.nn.choice import Chooser
from archwright.spaces import Space, SposSpace, open_architecture
from archwright.testing import ElasticSpace, NumberSpace

COST_KEYS = {
    *("arch", "input", "params", "macs", "flops", "uncounted"),
    *("memory_access_bytes", "activation_peak_bytes", "model_size_bytes"),
}
DESCRIBE_KEYS = {"space", "size", "n_decisions", "decisions", "smallest", "largest", "uncounted", "inputs"}


class OddSpace(Space):
    """A network with an operation nobody counts."""

    input_shape = (2, 4, 4)
    n_classes = 64

    def network(self, choose: Chooser) -> nn.Module:
        last = choose.op("last", {"power": _Power, "plain": nn.Identity})
        return nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), last, nn.Flatten())


class _Power(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.matrix_exp(x)


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("spos-block", 318_729_024, 3_345_088),
        ("spos-block-released", 322_918_720, 3_558_464),
        ("spos:" + "0" * 20, 295_842_496, 3_154_880),
        ("spos:" + "3" * 20, 358_825_920, 3_870_816),
    ],
)
def test_cost_of_published_networks(name: str, macs: int, params: int) -> None:
    """The figures of spos.md, section 3, at 224 pixels; flops are twice the multiply–accumulates."""
    opened = open_architecture(name)
    document = cost(opened.space, opened.arch)
    assert document.keys() >= COST_KEYS
    assert (document["macs"], document["params"], document["flops"]) == (macs, params, 2 * macs)
    assert (document["input"], document["uncounted"]) == ([3, 224, 224], [])
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_cost_names_the_arch_by_its_code() -> None:
    """Which the command line takes again."""
    opened = open_architecture("spos:01230123012301230123")
    assert cost(opened.space, opened.arch)["arch"] == "01230123012301230123"


def test_cost_at_another_input_and_class_number() -> None:
    """Width 4, kernel 3 at 10x10 with 7 classes: convolutions 27·4·100 and 9·4·100, classifier 4·7."""
    space = NumberSpace()
    document = cost(space, {"width": 4, "kernel": 3}, input_shape=(3, 10, 10), n_classes=7)
    assert document["macs"] == 27 * 4 * 100 + 9 * 4 * 100 + 4 * 7
    assert document["params"] == 27 * 4 + 2 * 4 + 9 * 4 + 4 * 7 + 7
    assert document["input"] == [3, 10, 10]
    assert cost(space, {"width": 4, "kernel": 3})["macs"] == 27 * 4 * 36 + 9 * 4 * 36 + 4 * 3


def test_memory_of_a_network_by_hand() -> None:
    """OddSpace's plain form on 2x4x4: a convolution of 32 + 64 numbers and 8 weights, nothing else that moves."""
    document = cost(OddSpace(), {"last": "plain"})
    assert document["memory_access_bytes"] == 4 * (32 + 64 + 8)
    assert document["activation_peak_bytes"] == 4 * (32 + 64)
    assert document["model_size_bytes"] == 4 * 8


def test_what_is_not_counted_is_named() -> None:
    """Never a silent zero."""
    document = cost(OddSpace(), {"last": "power"})
    assert document["macs"] == 2 * 4 * 16
    assert any("matrix_exp" in name for name in document["uncounted"])
    assert cost(OddSpace(), {"last": "plain"})["uncounted"] == []


def test_cost_refuses_what_the_space_refuses() -> None:
    """Too small an input, no class, an arch that is no member."""
    space = SposSpace()
    arch = {f"block{i}": "shuffle3" for i in range(20)}
    with pytest.raises(InvalidValueError, match="at least 4 pixels"):
        cost(space, arch, input_shape=(3, 3, 3))
    with pytest.raises(InvalidValueError, match="number of classes is 0"):
        cost(space, arch, n_classes=0)
    with pytest.raises(InvalidArchError, match="no value 'conv'"):
        cost(space, {**arch, "block0": "conv"})


def test_layers_of_a_network_by_hand() -> None:
    """Modules without a cost of their own have no row; bytes are (inputs + outputs + weights) x 4."""
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(64, 3))
    conv, linear = layer_rows(network, (2, 4, 4))
    assert conv == {
        **{"layer": "0", "kind": "Conv2d", "params": 72, "macs": 72 * 16},
        "memory_access_bytes": 4 * (32 + 64 + 72),
    }
    assert linear == {
        **{"layer": "2", "kind": "Linear", "params": 195, "macs": 192},
        "memory_access_bytes": 4 * (64 + 3 + 195),
    }


def test_describe_spos() -> None:
    """4^20 archs; "xception" blocks are the dearest, but the cheapest where a block strides."""
    document = describe(SposSpace())
    assert document.keys() == DESCRIBE_KEYS
    assert (document["space"], document["size"], document["n_decisions"]) == ("spos", 1_099_511_627_776, 20)
    values = ["shuffle3", "shuffle5", "shuffle7", "xception"]
    assert document["decisions"] == [{"name": f"block{i}", "values": values, "when": []} for i in range(20)]
    assert document["smallest"]["macs"] == 270_359_360  # see test_limits.py
    assert document["smallest"]["arch"] == "30003000300000003000"
    assert document["largest"]["macs"] == 398_609_216
    assert document["largest"]["arch"] == "23332333233333332333"
    assert document["inputs"] == [
        "3x224x224, 1000 classes (shown here)",
        "64 pixels a side and more: form imagenet, 20 blocks",
        "4 to 63 pixels: form small, 10 blocks",
    ]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_describe_says_when_a_decision_applies() -> None:
    """A block's kernel: where the block is there and a convolution."""
    decisions = {each["name"]: each for each in describe(ElasticSpace())["decisions"]}
    assert decisions["width"]["when"] == []
    assert decisions["block0.kernel"]["when"] == [{"block0.op": ["conv"]}]
    assert decisions["block2.op"]["when"] == [{"depth": [3]}]


def test_describe_finds_the_extremes_of_a_toy() -> None:
    """Width 2, kernel 1 and width 8, kernel 3, by hand."""
    document = describe(NumberSpace())
    assert document["size"] == 8
    assert document["smallest"] == {"arch": "00", "params": 21, "macs": 294}
    macs = 27 * 8 * 36 + 9 * 8 * 36 + 8 * 3
    assert document["largest"] == {"arch": "31", "params": 27 * 8 + 16 + 9 * 8 + 27, "macs": macs}
