"""The once-for-all ResNet-50D against the fact sheet, timm's ResNet-50D and its own contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import Macs, Params
from archwright.costs.counting.count import count
from archwright.spaces import OfaResNet50, Space
from archwright.testing import SpaceContract

TINY: dict[str, Any] = {"input_shape": (1, 8, 8), "n_classes": 10, "widths": (16, 24, 32, 48), "stem_width": 32}
TINY |= {"base_depths": (1, 1, 2, 1), "extra_depths": (0, 1), "width_mults": (0.5, 1.0), "expands": (0.25, 0.5)}


class TestContract(SpaceContract):
    n_archs = 3
    n_costed = 6

    def make(self) -> Space:
        return OfaResNet50(**TINY)


def genotype(d: list[int], e: float, w: int) -> str:
    """Alike in all blocks and widths."""
    return json.dumps({"d": d, "e": [e] * 18, "w": [w] * 6})


LARGEST, SMALLEST = genotype([2] * 5, 0.35, 2), genotype([0] * 5, 0.2, 0)


def test_size() -> None:
    """Two stem widths and a layer; a width a stage, and the expansions of its 2 to 4 (stage 3: 4 to 6) blocks."""
    stage, third = 3 * (3**2 + 3**3 + 3**4), 3 * (3**4 + 3**5 + 3**6)
    assert OfaResNet50().size() == 3 * 2 * 3 * stage**3 * third == 2_458_914_796_962


@pytest.mark.parametrize(
    ("code", "params", "macs"), [(LARGEST, 48_105_992, 7_491_643_904), (SMALLEST, 6_539_280, 962_192_128)]
)
def test_corners(code: str, params: int, macs: int) -> None:
    """The largest and the smallest network, to the unit."""
    space = OfaResNet50()
    with torch.device("meta"):
        counted = count(space.build(space.parse(code)), space.input_shape, memory=False)
    assert (counted.params, counted.macs, counted.uncounted) == (params, macs, [])


def test_supernet_is_as_large_as_the_largest_network() -> None:
    """It shares all its weights."""
    with torch.device("meta"):
        supernet = OfaResNet50().supernet()
    assert sum(parameter.numel() for parameter in supernet.parameters()) == 48_105_992


def test_widths() -> None:
    """Multiples of 8 near the factor, half of the stem's in its middle, the expansion's share in a block's."""
    space = OfaResNet50()
    arch = space.parse(json.dumps({"d": [0, 0, 1, 2, 0], "e": [0.2] * 18, "w": [0, 1, 2, 1, 0, 2]}))
    with torch.device("meta"):
        network = space.build(arch)
    found = [getattr(network.get_submodule(f"stage{s}.0.body.main.expand.0"), "out_channels", 0) for s in range(1, 5)]
    assert found == [256, 408, 664, 2048]
    stem: Any = network.get_submodule("stem")
    assert (stem.first[0].out_channels, stem.last[0].out_channels) == (24, 48)
    middles = [getattr(network.get_submodule(f"stage{s}.0.body.main.conv.0"), "out_channels", 0) for s in range(1, 5)]
    assert middles == [48, 80, 136, 408]
    assert [len(list(network.get_submodule(f"stage{s}").children())) for s in range(1, 5)] == [2, 3, 6, 2]
    assert len(list(stem.middle.children())) == 0


def test_stem_has_its_middle_layer_at_the_largest_depth_only() -> None:
    """As in the released code."""
    space = OfaResNet50()
    depths = [space.parse(genotype([d, 1, 1, 1, 1], 0.2, 0))["stem.depth"] for d in (0, 1, 2)]
    assert depths == [0, 0, 1]


def test_code_is_the_genotype_of_the_released_code() -> None:
    """And it comes back as it was given, but for blocks that are left out."""
    space = OfaResNet50()
    assert space.code(space.parse(LARGEST)) == LARGEST.replace(" ", "")
    found = json.loads(space.code(space.parse(SMALLEST)))
    assert found["e"] == [0.2, 0.2, 0, 0, 0.2, 0.2, 0, 0, *[0.2] * 4, 0, 0, 0.2, 0.2, 0, 0]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (genotype([2] * 4, 0.2, 0), "d has 4 entries; give a list of 5"),
        (genotype([0, 3, 0, 0, 0], 0.2, 0), r"d\[1\] is 3; choose one of 0, 1, 2"),
        (genotype([0] * 5, 0.3, 0), r"e\[0\] is 0.3; choose one of 0.2, 0.25, 0.35"),
        (genotype([0] * 5, 0.2, 3), r"w\[0\] is 3; choose one of 0, 1, 2"),
    ],
)
def test_impossible_genotypes_are_refused(code: str, message: str) -> None:
    """Each names the list and the entry."""
    with pytest.raises(InvalidArchError, match=message):
        OfaResNet50().parse(code)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"widths": (256, 512)}, "a list of 4"),
        ({"width_mults": (0.65, -1.0)}, r"width_mults\[1\] is -1.0"),
        ({"expands": ()}, "at least one"),
        ({"expands": (0.2, 0.2)}, "each number once"),
        ({"extra_depths": (-1, 2)}, r"extra_depths\[0\] is -1"),
        ({"base_depths": (2, 2, 0, 2)}, r"base_depths\[2\] is 0"),
        ({"stem_width": 0}, r"stem_width\[0\] is 0"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        OfaResNet50(**arguments)


@pytest.mark.parametrize("side", [4, 8, 28, 32, 97])
def test_every_size_of_image_has_a_network(side: int) -> None:
    """Logits come out, and the map before the pooling is at least 4 x 4."""
    space = OfaResNet50(input_shape=(1, side, side), n_classes=3)
    with torch.device("meta"):
        network: Any = space.build(space.parse(SMALLEST))
        x = network[:-1](torch.empty(2, 1, side, side))
        assert min(x.shape[2:]) >= 4
        assert network[-1](x).shape == (2, 3)


def test_blocks_are_those_of_timm_s_resnet50d() -> None:
    """Expansion a quarter, 3, 4, 6 and 3 blocks: the same weights behind the stem give the same logits.

    The stem differs: its middle layer is residual here, and in timm an ordinary one.
    """
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    theirs = timm.create_model("resnet50d", pretrained=False, num_classes=10).eval()
    space = OfaResNet50(n_classes=10, input_shape=(3, 128, 128))
    lists = {"d": [2, 1, 2, 2, 1], "e": [0.25] * 18, "w": [2] * 6}
    ours: Any = space.build(space.parse(json.dumps(lists))).eval()
    rng = torch.Generator().manual_seed(1)
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            nn.init.normal_(part.weight, 1.0, 0.1, generator=rng)
            nn.init.normal_(part.bias, 0.0, 0.1, generator=rng)
            part.running_mean.normal_(0.0, 0.1, generator=rng)
            part.running_var.uniform_(0.8, 1.2, generator=rng)
    with torch.no_grad():
        for s in range(1, 5):
            for a, b in zip(getattr(theirs, f"layer{s}"), getattr(ours, f"stage{s}"), strict=True):
                taken = dict(a.state_dict())
                names = list(b.state_dict())
                assert len(taken) == len(names)
                b.load_state_dict(dict(zip(names, taken.values(), strict=True)))
        ours.head[-1].load_state_dict(theirs.fc.state_dict())
        x = torch.randn(2, 64, 32, 32, generator=rng)
        expected = theirs.forward_head(theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(theirs.maxpool(x))))))
        logits = ours[1:](x)
    assert expected.std() > 1e-3
    assert (logits - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


def test_rows_have_costs_at_full_size() -> None:
    """Table and built network agree on random archs, to the unit."""
    space = OfaResNet50()
    rows = space.decisions.sample(2, np.random.default_rng(5))
    found = np.stack([cost.cost_rows(space, rows) for cost in (Params(), Macs())], axis=1)
    for row, costs in zip(rows, found.tolist(), strict=True):
        with torch.device("meta"):
            counted = count(space.build(space.decisions.arch(row)), space.input_shape, memory=False)
        assert costs == [counted.params, counted.macs]


@pytest.mark.slow
def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The smallest network on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", f"ofa-resnet50:{SMALLEST}", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
