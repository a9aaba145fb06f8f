"""The FBNet space against the paper's fact sheet."""

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
from archwright.spaces import FBNet, Space, open_architecture
from archwright.testing import SpaceContract

# with biases, without, multiply-accumulates
FIGURES = {
    "fbnet-a": (4_319_712, 4_304_584, 244_452_664),
    "fbnet-b": (4_816_216, 4_801_368, 291_004_424),
    "fbnet-c": (5_590_784, 5_570_664, 378_136_224),
}
TINY = FBNet(
    input_shape=(1, 8, 8), n_classes=10, widths=(8, 8, 8, 12, 12, 16, 16, 16, 32), layers=(1, 2, 1, 1, 1, 1, 1)
)


class TestContract(SpaceContract):
    n_archs = 2

    def make(self) -> Space:
        return TINY


def test_size() -> None:
    """22 layers of nine candidates."""
    assert FBNet().size() == 9**22 == 984_770_902_183_611_232_881


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("bias", [True, False])
def test_published_networks(name: str, bias: bool) -> None:
    """To the unit, with the biases of the released models and without."""
    found = open_architecture(name, bias=bias)
    with torch.device("meta"):
        counted = count(found.space.build(found.arch), found.space.input_shape)
    with_bias, without, macs = FIGURES[name]
    assert (counted.params, counted.macs, counted.uncounted) == (with_bias if bias else without, macs, [])


@pytest.mark.parametrize(
    ("name", "params", "macs"), [("fbnet-b", 4_863_288, 306_210_888), ("fbnet-c", 5_572_200, 384_960_160)]
)
def test_published_networks_as_the_paper_draws_them(name: str, params: int, macs: int) -> None:
    """A first 1x1 convolution in blocks of expansion 1 too, no biases."""
    found = open_architecture(name, bias=False, always_expand=True)
    with torch.device("meta"):
        counted = count(found.space.build(found.arch), found.space.input_shape)
    assert (counted.params, counted.macs) == (params, macs)


def test_maps_at_224_pixels(stage_shapes: Callable[..., Any]) -> None:
    """Channels and sides behind the stem and the last layer of each group, as in the paper's table."""
    space = FBNet()
    shapes = stage_shapes(space, space.parse("2" * 22))
    table = {"stem": (16, 112), "layer1": (16, 112), "layer5": (24, 56), "layer9": (32, 28), "layer13": (64, 14)}
    table |= {"layer17": (112, 14), "layer21": (184, 7), "layer22": (352, 7)}
    assert {name: shapes[name] for name in table} == {name: (c, s, s) for name, (c, s) in table.items()}


def test_candidates() -> None:
    """Kernel, expansion and groups as their names say; an expansion of 1 has no widening convolution."""
    block: Any = FBNet()._candidates(16, 16, 1)["k5_e1_g2"]()
    assert isinstance(block, Residual)
    convs = [part for part in block.modules() if isinstance(part, nn.Conv2d)]
    assert [(conv.kernel_size[0], conv.groups) for conv in convs] == [(5, 16), (1, 2)]
    assert isinstance(block.main[0], nn.ChannelShuffle)


def test_skip_changes_the_shape_where_it_must() -> None:
    """A strided 1x1 convolution with batch norm and ReLU; else nothing."""
    makers = FBNet()._candidates(16, 24, 2), FBNet()._candidates(24, 24, 1)
    strided, plain = (candidates["skip"]() for candidates in makers)
    assert [type(part) for part in strided] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert strided[0].stride == (2, 2)
    assert isinstance(plain, nn.Identity)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"widths": (16, 16, 24, 31, 64, 112, 184, 352, 1504)}, r"widths\[3\] is 31; it must be even"),
        ({"layers": (1, 4)}, "a list of 7"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        FBNet(**arguments)


@pytest.mark.parametrize(("code", "message"), [("0" * 21, "21 positions"), ("9" + "0" * 21, "'layer1'")])
def test_impossible_codes_are_refused(code: str, message: str) -> None:
    """A layer too few, an unknown candidate."""
    with pytest.raises(InvalidArchError, match=message):
        FBNet().parse(code)


@pytest.mark.slow
def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A published network on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", "fbnet-a", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
