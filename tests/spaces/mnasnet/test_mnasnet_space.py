"""The MnasNet space against the paper's fact sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs.counting.count import count
from archwright.nn.ops.residual import Residual
from archwright.nn.ops.squeeze import SqueezeExcite
from archwright.spaces import MnasNet, Space, open_architecture
from archwright.spaces.mnasnet import Block
from archwright.testing import SpaceContract

# parameters, multiply-accumulates of convolutions and classifier, those of squeeze-and-excitation
FIGURES = {
    "mnasnet-a1": (3_887_038, 311_325_344, 253_728),
    "mnasnet-b1": (4_383_312, 314_415_872, 0),
    "mnasnet-small": (2_030_264, 68_270_448, 68_736),
    "mnasnet-a1-140": (6_105_992, None, None),
    "mnasnet-a1-075": (2_912_278, None, None),
    "mnasnet-a1-050": (2_082_006, None, None),
    "mnasnet-a1-035": (1_747_018, None, None),
}
# the released code's table: millions of multiply-adds, which run up to 3 % above ours
README = {"mnasnet-a1-140": 591.5, "mnasnet-a1-075": 226.7, "mnasnet-a1-050": 105.2, "mnasnet-a1-035": 63.2}
A1_BLOCKS = {
    "stem": (928, 10_838_016),
    "block1": (896, 10_035_200),
    "block2": (13_968, 54_942_720),
    "block3": (39_098, 28_844_928),
    "block4": (281_680, 59_411_520),
    "block5": (316_144, 49_598_976),
    "block6": (1_067_244, 53_301_024),
    "block7": (473_920, 23_002_560),
    "head": (412_160 + 1_281_000, 20_070_400 + 1_280_000),
}


class Short(MnasNet):
    """The first three blocks at small filters."""

    blocks = (Block(8, 1, 1), Block(16, 2, 2), Block(16, 2, 1))


class TestContract(SpaceContract):
    n_archs = 3

    def make(self) -> Space:
        return Short(input_shape=(1, 8, 8), n_classes=10, width=0.5, stem=16)


def published(name: str) -> tuple[Any, nn.Module]:
    """A published network's space and the network on the meta device."""
    found = open_architecture(name)
    with torch.device("meta"):
        return found, found.space.build(found.arch)


def squeezed(network: nn.Module) -> set[str]:
    """Paths of the layers of squeeze-and-excitation."""
    parts = [path for path, part in network.named_modules() if isinstance(part, SqueezeExcite)]
    return {f"{path}.{layer}" for path in parts for layer in ("reduce", "restore")}


@pytest.mark.parametrize("name", FIGURES)
def test_published_networks(name: str) -> None:
    """Parameters and multiply-accumulates to the unit; where only the README has the latter, to 3 %."""
    found, network = published(name)
    counted = count(network, found.space.input_shape)
    params, macs, squeeze_macs = FIGURES[name]
    in_squeeze = sum(counted.leaves[path].macs for path in squeezed(network))
    assert counted.params == params
    assert counted.uncounted == []
    if macs is None:
        assert counted.macs == pytest.approx(README[name] * 1e6, rel=0.03)
    else:
        assert (counted.macs - in_squeeze, in_squeeze) == (macs, squeeze_macs)


def test_blocks_of_a1() -> None:
    """Parameters, and multiply-accumulates without squeeze-and-excitation, block by block."""
    _, network = published("mnasnet-a1")
    leaves, without = count(network, (3, 224, 224)).leaves, squeezed(network)
    for name, expected in A1_BLOCKS.items():
        inside = {path: leaf for path, leaf in leaves.items() if path.split(".")[0] == name}
        macs = sum(leaf.macs for path, leaf in inside.items() if path not in without)
        assert (sum(leaf.params for leaf in inside.values()), macs) == expected, name


def test_squeeze_reduces_the_input_of_the_layer() -> None:
    """Block 3 of A1: its first layer to a quarter of 24, the later ones to a quarter of 40."""
    _, network = published("mnasnet-a1")
    reduced = [p.reduce.out_channels for p in network.get_submodule("block3").modules() if isinstance(p, SqueezeExcite)]
    assert reduced == [6, 10, 10]


def test_size() -> None:
    """432 a block but where two filters round to the same, and where a layer fewer would leave none."""
    assert MnasNet().size() == (432 * 2 // 3 * 2 // 3) * (432 * 2 // 3) * 432**4 * (432 * 2 // 3)


def test_strides_multiply_to_32() -> None:
    """Stem and four blocks."""
    _, network = published("mnasnet-a1")
    assert isinstance(network, nn.Sequential)
    assert network[:-1](torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 320, 7, 7)


def test_shortcut_between_blocks_of_equal_width() -> None:
    """MnasNet-small goes from block 4 to block 5 with 32 channels and stride 1: a shortcut, as in the released code."""
    _, network = published("mnasnet-small")
    joined = [part.is_joined for part in network.get_submodule("block5") if isinstance(part, Residual)]
    assert joined == [True, True, True]
    _, network = published("mnasnet-a1")
    assert [part.is_joined for part in network.get_submodule("block5")] == [False, True]


def test_batch_norms() -> None:
    """Epsilon 0.001, momentum 0.99 in TensorFlow's sense."""
    _, network = published("mnasnet-b1")
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


# ── block strings ─────────────────────────────────────────────────────────────────────────────────

A1 = (
    "r1_k3_s11_e1_i32_o16_noskip,r2_k3_s22_e6_i16_o24,r3_k5_s22_e3_i24_o40_se0.25,r4_k3_s22_e6_i40_o80,"
    "r2_k3_s11_e6_i80_o112_se0.25,r3_k5_s22_e6_i112_o160_se0.25,r1_k3_s11_e6_i160_o320"
)


def test_block_strings_of_a1() -> None:
    """Those of the released code, there and back."""
    found = open_architecture("mnasnet-a1")
    assert found.space.code(found.arch) == A1
    assert found.space.parse(A1) == found.arch


def test_off_grid_filters_need_a_space_that_has_them() -> None:
    """The paper's factors do not give 112; the message offers what they do."""
    with pytest.raises(InvalidArchError, match=r"block5\.filters.*112.*72, 96, 120"):
        MnasNet().parse(A1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("r1_k3_s11_e1", "r1_k3_s22_e1", "block1 says 's22' of its stride; here it is 's11'"),
        ("i16_o24", "i24_o24", "block2 says 'i24' of its input channels; here it is 'i16'"),
        ("r4_k3", "r9_k3", "block4.layers"),
        ("r2_k3_s22_e6", "r2_k3_s22_e5", "block2 has the expansion 'e5'"),
        ("r2_k3_s22", "r2_s22", r"block2 .*lacks k \(kernel\)"),
        ("r2_k3_s22", "r2_q3_s22", "block2 .*'q3' is unknown"),
        ("r2_k3_s22", "r2_k3_k5_s22", "block2 .*'k5' beside 'k3'"),
        (",r1_k3_s11_e6_i160_o320", "", "has 6 blocks"),
        ("o24,", "o-24,", "block2 .*'o-24' is unknown"),
    ],
)
def test_impossible_strings_are_refused(old: str, new: str, message: str) -> None:
    """Each names the block."""
    space = open_architecture("mnasnet-a1").space
    assert old in A1
    with pytest.raises(InvalidArchError, match=message):
        space.parse(A1.replace(old, new, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 2, 2)}, "at least 4 pixels a side, not 2"),
        ({"width": 0}, "width is 0"),
        ({"width": float("nan")}, "width is nan"),
        ({"stem": -8}, r"stem\[0\] is -8"),
        ({"filters": [[16]]}, "each of 7 blocks"),
        ({"filters": [[16], [24], [40], [80], [-112], [160], [320]]}, r"filters\[4\]\[0\] is -112"),
        ({"filters": [[16], [24], [40], [80], [], [160], [320]]}, r"filters\[4\] is \[\]"),
        ({"filters": [[16], [24], [40], [80, 80], [96], [160], [320]]}, "name each number once"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        MnasNet(**arguments)


@pytest.mark.slow
def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A published network on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", "mnasnet-small", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
