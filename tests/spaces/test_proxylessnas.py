"""The ProxylessNAS space against the paper's fact sheet."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs.counting.count import count
from archwright.spaces import ProxylessNas, Space, open_architecture
from archwright.testing import SpaceContract

# parameters, multiply-accumulates at 224 pixels
FIGURES = {
    "proxyless-mobile": (4_080_512, 320_427_584),
    "proxyless-gpu": (7_119_848, 465_260_160),
    "proxyless-cpu": (4_361_648, 439_243_864),
    "proxyless-mobile-14": (6_857_568, 580_883_408),
}
TINY = {
    "input_shape": (1, 8, 8),
    "n_classes": 10,
    "widths": (8, 8, 8, 8, 12, 12, 16, 16, 32),
    "blocks": (2, 1, 1, 1, 2, 1),
}


class TestContract(SpaceContract):
    n_archs = 2

    def make(self) -> Space:
        return ProxylessNas(**TINY)  # type: ignore[arg-type]


def test_size() -> None:
    """Six choices in the first block of each stage, seven in the fifteen others."""
    assert ProxylessNas().size() == 6**6 * 7**15 == 221_502_229_807_900_608


@pytest.mark.parametrize("name", FIGURES)
def test_published_networks(name: str) -> None:
    """To the unit, and nothing uncounted."""
    found = open_architecture(name)
    with torch.device("meta"):
        counted = count(found.space.build(found.arch), found.space.input_shape)
    assert (counted.params, counted.macs, counted.uncounted) == (*FIGURES[name], [])


@pytest.mark.parametrize("name", FIGURES)
def test_published_networks_are_the_official_descriptions(name: str, shared_data: Callable[[str], Path]) -> None:
    """Block for block, widths and all."""
    path = shared_data("arch_configs/proxyless_imagenet.json.gz")
    config = json.loads(gzip.decompress(path.read_bytes()))[name.replace("-", "_")]
    found = open_architecture(name)
    assert described(config) == (found.space.args()["widths"], dict(found.arch))


def described(config: dict[str, Any]) -> tuple[list[int], dict[str, str]]:
    """Widths and arch of an official description."""
    layers = [block["mobile_inverted_conv"] for block in config["blocks"]]
    chosen = ["zero" if "Zero" in la["name"] else f"k{la['kernel_size']}e{la['expand_ratio']}" for la in layers[1:]]
    n_out = [layer.get("out_channels") for layer in layers]
    firsts = [n_out[1 + i] for i in (0, 4, 8, 12, 16, 20)]
    ends = [config["first_conv"]["out_channels"], n_out[0]], [config["feature_mix_layer"]["out_channels"]]
    return [*ends[0], *firsts, *ends[1]], {f"block{i}": key for i, key in enumerate(chosen, start=1)}


def test_maps_at_224_pixels(stage_shapes: Callable[..., Any]) -> None:
    """Sides behind the stem and the last block of each stage."""
    space = ProxylessNas()
    sides = stage_shapes(space, space.parse("0" * 21))
    expected = {"stem": (32, 112), "block4": (24, 56), "block8": (40, 28), "block16": (96, 14), "block21": (320, 7)}
    assert {name: sides[name] for name in expected} == {name: (c, s, s) for name, (c, s) in expected.items()}


def test_zero_leaves_the_block_out() -> None:
    """What a stage's second block gives is what it was given."""
    space = ProxylessNas(**TINY)  # type: ignore[arg-type]
    arch = {**space.sample(1, np.random.default_rng(0))[0], "block2": "zero"}
    assert isinstance(space.build(arch).get_submodule("block2"), nn.Identity)


def test_zero_is_no_choice_where_the_shape_changes() -> None:
    """The message offers what is."""
    space = ProxylessNas()
    arch = {**space.parse("0" * 21), "block1": "zero"}
    with pytest.raises(InvalidArchError, match="block1"):
        space.row(arch)


def test_batch_norms() -> None:
    """Epsilon 0.001, momentum 0.1."""
    norms = [part for part in ProxylessNas(**TINY).supernet().modules() if isinstance(part, nn.BatchNorm2d)]  # type: ignore[arg-type]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 9)}, "at least 4 pixels a side, not 3"),
        ({"input_shape": (3, 32)}, "takes images"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
        ({"widths": (32, 16)}, "a list of 9"),
        ({"widths": (32, 16, 24, -40, 80, 96, 192, 320, 1280)}, r"widths\[3\] is -40"),
        ({"blocks": (4, 4, 4, 4, 4, 0)}, r"blocks\[5\] is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        ProxylessNas(**arguments)


@pytest.mark.parametrize("side", [4, 8, 28, 32, 96, 97])
def test_every_size_of_image_has_a_network(side: int) -> None:
    """Logits come out, and the map before the pooling is at least 4 x 4."""
    space = ProxylessNas(input_shape=(1, side, side), n_classes=3)
    with torch.device("meta"):
        network = space.build(space.parse("0" * 21))
        assert isinstance(network, nn.Sequential)
        x = network[:-1](torch.empty(2, 1, side, side))
        assert min(x.shape[2:]) >= 4
        assert network[-1](x).shape == (2, 3)


def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A published network on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", "proxyless-mobile", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
