"""The convolutional spaces of DARTS and SNAS against the papers' fact sheets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.drawing import Graph, Strip
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs.counting.count import count
from archwright.nn import Supernet, selection_of
from archwright.nn.ops import darts as ops
from archwright.nn.ops.two_inputs import TwoInputCell, TwoInputNetwork
from archwright.spaces import Darts, Snas, Space, open_architecture
from archwright.spaces.darts.genotypes import OPS, PRIMITIVES
from archwright.testing import SpaceContract

TINY = {"input_shape": (3, 8, 8), "n_classes": 5, "channels": 4, "cells": 3, "nodes": 2}
IMAGENET = {"input_shape": (3, 224, 224), "n_classes": 1000}

FIGURES = {
    # CIFAR-10 and ImageNet: parameters without and with auxiliary head, multiply-accumulates; CIFAR-100: parameters
    "darts-v1": ((3_169_414, 3_645_840, 500_987_520), (4_510_432, 5_771_208, 505_864_704), 3_221_344),
    "darts-v2": ((3_349_342, 3_825_768, 528_359_040), (4_718_752, 5_979_528, 529_911_552), 3_401_272),
    "pc-darts-cifar": ((3_634_678, 4_111_104, 556_670_592), (5_270_560, 6_531_336, 571_137_408), 3_686_608),
    "pc-darts-imagenet": ((3_721_510, 4_197_936, 570_466_944), (5_342_464, 6_603_240, 581_627_328), 3_773_440),
    "snas-mild": ((2_661_382, 3_137_808, 422_218_368), (3_939_328, None, 438_042_432), None),
    "snas-moderate": ((2_847_358, 3_323_784, 440_687_232), (4_312_576, None, 465_607_872), None),
    "snas-aggressive": ((2_313_622, 2_790_048, 374_912_640), (3_561_952, None, 395_715_840), None),
}


class TestDarts(SpaceContract):
    n_archs = 2
    n_costed = 4

    def make(self) -> Space:
        return Darts(**TINY)


class TestSnas(SpaceContract):
    n_archs = 2
    n_costed = 4
    every_weight_matters = False  # what only an edge "none" reads does not reach the output

    def make(self) -> Space:
        return Snas(**{**TINY, "nodes": 1})


class TestOneNode(SpaceContract):
    """Small enough to be listed: 7^2 a cell."""

    n_archs = 1
    n_costed = 2

    def make(self) -> Space:
        return Darts(**{**TINY, "nodes": 1}).search_form()


@pytest.mark.slow
class TestFourNodes(SpaceContract):
    n_archs = 1
    n_costed = 2

    def make(self) -> Space:
        return Darts(**{**TINY, "nodes": 4}).search_form()


@pytest.mark.slow
class TestSnasFourNodes(TestSnas):
    def make(self) -> Space:
        return Snas(**{**TINY, "nodes": 4}).search_form()


def costs(space: Darts | Snas, arch: Any, *, for_training: bool = False) -> tuple[int, int]:
    """Parameters and multiply-accumulates of the built network."""
    with torch.device("meta"):
        network = space.build_for_training(arch) if for_training else space.build(arch)
    counted = count(network, space.input_shape, memory=False)
    assert counted.uncounted == []
    return counted.params, counted.macs


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────────


def test_sizes() -> None:
    """180 * 7^8 = 1,037,664,180 a cell of DARTS, 8^14 of SNAS; a network has two cells."""
    assert Darts().size() == 1_037_664_180**2 == (180 * 7**8) ** 2
    assert Snas().size() == 8**28


@pytest.mark.parametrize("cls", [Darts, Snas])
def test_declared_decisions_are_those_recorded(cls: type[Space]) -> None:
    """The written-down list and the network's requests agree for the papers' four nodes."""
    space, chooser = cls(**{**TINY, "nodes": 4}), Supernet()
    with torch.device("meta"):
        space.network(chooser)
    assert space.decisions == chooser.decisions()


def test_search_network_has_the_papers_weights() -> None:
    """1,930,618 in 8 cells of 16 channels without affine batch norms; 14 edges a cell, 8 operations with `none`."""
    space = Darts().search_form()
    with torch.device("meta"):
        supernet = space.supernet()
    assert sum(parameter.numel() for parameter in supernet.parameters()) == 1_930_618
    edges = [decision for decision in space.decisions if decision.name.startswith("normal.edge")]
    assert (len(edges), len(PRIMITIVES)) == (14, 8)
    with torch.device("meta"):
        assert sum(p.numel() for p in Snas().search_form().supernet().parameters()) == 1_930_618


# ── published networks ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures_on_cifar(name: str) -> None:
    """Parameters without and with auxiliary head, multiply-accumulates, parameters with 100 classes; to the unit."""
    found = open_architecture(name, input_shape=(3, 32, 32), n_classes=10)
    (params, with_head, macs), _, hundred = FIGURES[name]
    assert costs(found.space, found.arch) == (params, macs)
    assert costs(found.space, found.arch, for_training=True) == (with_head, macs)
    if hundred is not None:
        assert costs(found.space.with_args(n_classes=100), found.arch)[0] == hundred


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures_on_imagenet(name: str) -> None:
    """The input size alone makes the network of 14 cells and 48 channels."""
    found = open_architecture(name, **IMAGENET)
    _, (params, with_head, macs), _ = FIGURES[name]
    assert costs(found.space, found.arch) == (params, macs)
    if with_head is not None:
        assert costs(found.space, found.arch, for_training=True) == (with_head, macs)


def test_published_names_have_their_papers_input() -> None:
    """PC-DARTS's second cells were found on ImageNet, all others on CIFAR-10."""
    for name in FIGURES:
        space = open_architecture(name).space
        expected = ((3, 224, 224), 1000) if name == "pc-darts-imagenet" else ((3, 32, 32), 10)
        assert (space.input_shape, space.n_classes) == expected


def test_second_order_cells_are_those_of_the_released_code() -> None:
    """DARTS_V2 as `cnn/genotypes.py` prints it."""
    released = (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
        "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=range(2, 6))"
    )
    assert Darts().parse(released) == open_architecture("darts-v2").arch


def test_two_nodes_of_the_aggressive_reduction_cell_are_empty() -> None:
    """They give zeros, and the network still has a gradient."""
    found = open_architecture("snas-aggressive")
    assert found.space.code(found.arch).endswith("/sep5-0+sep5-0+none+none")
    space = found.space.with_args(input_shape=(3, 8, 8), channels=4, cells=3)
    network = space.build(found.arch)
    assert isinstance(network, TwoInputNetwork)
    cell = network.cells[1]
    out = cell(torch.randn(2, 12, 8, 8), torch.randn(2, 16, 8, 8))
    assert out.shape == (2, 32, 4, 4)
    assert bool(out[:, :16].any())
    assert not bool(out[:, 16:].any())


class _Pair(nn.Module):
    """A node of NASNet: the sum of two operations, which may read the same state."""

    def __init__(self, *edges: tuple[nn.Module, int]) -> None:
        super().__init__()
        self.ops, self.sources = nn.ModuleList(op for op, _ in edges), [source for _, source in edges]

    def forward(self, states: list[Tensor]) -> Tensor:
        first, second = (op(states[source]) for op, source in zip(self.ops, self.sources, strict=True))
        return torch.as_tensor(first + second)


NASNET = {
    "normal": ("sep5-1 sep3-0 sep5-0 sep3-0 avg-1 skip-0 avg-0 avg-0 sep3-1 skip-1", range(2, 7)),
    "reduce": ("sep5-1 sep7-0 max-1 sep7-0 avg-1 sep5-0 skip-3 avg-2 sep3-2 max-1", range(4, 7)),
}


def test_nasnet_a_as_cells_of_darts() -> None:
    """The released code's NASNet-A of 20 cells and 36 channels, put together by hand: 3,830,950 and 603,452,448."""

    def node(texts: list[str], width: int, kind: str) -> nn.Module:
        edges = []
        for name, source in (text.split("-") for text in texts):
            stride = 2 if kind == "reduce" and int(source) < 2 else 1
            makers: dict[str, Callable[[], nn.Module]] = {
                "avg": lambda stride=stride: ops.avg_pool(width, stride=stride),
                "max": lambda stride=stride: ops.max_pool(width, stride=stride),
                "skip": lambda stride=stride: ops.skip_connect(width, stride=stride),
                **{f"sep{k}": lambda k=k, stride=stride: ops.sep_conv(width, k, stride=stride) for k in (3, 5, 7)},
            }
            edges.append((makers[name](), int(source)))
        return _Pair(*edges)

    with torch.device("meta"):
        cells, before, last, width, halved = [], 108, 108, 36, False
        for i in range(20):
            kind = "reduce" if i in (6, 13) else "normal"
            width *= 2 if kind == "reduce" else 1
            texts, concat = NASNET[kind]
            pairs = texts.split()
            reader = ops.factorized_reduce if halved else ops.relu_conv_bn
            nodes = [node(pairs[2 * j : 2 * j + 2], width, kind) for j in range(5)]
            cells.append(TwoInputCell(reader(before, width), ops.relu_conv_bn(last, width), nodes, concat))
            before, last, halved = last, len(concat) * width, kind == "reduce"
        stem = nn.Sequential(nn.Conv2d(3, 108, 3, 1, 1, bias=False), nn.BatchNorm2d(108))
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 10))
        network = TwoInputNetwork([stem], cells, head)
    counted = count(network, (3, 32, 32), memory=False)
    assert (counted.params, counted.macs) == (3_830_950, 603_452_448)


# ── the network ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Darts(), {-1: (108, 32), 0: (144, 32), 6: (288, 16), 13: (576, 8), 19: (576, 8)}),
        (Darts(**IMAGENET), {-1: (48, 28), 0: (192, 28), 4: (384, 14), 9: (768, 7), 13: (768, 7)}),
    ],
)
def test_maps(space: Darts, expected: dict[int, tuple[int, int]]) -> None:
    """Channels and side behind the stem (-1) and the cells: an output has four times the width of its cell."""
    with torch.device("meta"):
        network = space.build(open_architecture("darts-v2").arch)
        assert isinstance(network, TwoInputNetwork)
        shapes: dict[int, tuple[int, int]] = {}
        for i, part in enumerate([network.stems[-1], *network.cells], -1):
            part.register_forward_hook(lambda _m, _a, out, i=i: shapes.update({i: (out.shape[1], out.shape[2])}))
        network(torch.empty(2, *space.input_shape))
    assert {i: shapes[i] for i in expected} == expected


@pytest.mark.parametrize("side", [8, 9, 13, 28, 33, 64, 75])
def test_every_size_of_image_has_a_network(side: int) -> None:
    """Odd sides, which the released code refuses, are rounded up."""
    space = Darts(input_shape=(1, side, side + 3), n_classes=3, channels=4, cells=3)
    with torch.device("meta"):
        assert space.build(open_architecture("darts-v2").arch)(torch.empty(2, 1, side, side + 3)).shape == (2, 3)


def test_search_form_keeps_what_was_asked_for() -> None:
    """Only where the space has its form's own size does it shrink to the papers' 8 cells of 16 channels."""
    found = Darts().search_form(), Darts(channels=6, cells=4).search_form()
    assert [(space.channels, space.n_cells, space.affine) for space in found] == [(16, 8, False), (6, 4, False)]


def test_poolings_have_a_batch_norm_in_the_search_network_only() -> None:
    """Without affine parameters there, and none in the final network."""
    for affine, n_norms in ((True, 0), (False, 1)):
        for op in (ops.max_pool(4, affine=affine), ops.avg_pool(4, stride=2, affine=affine)):
            assert sum(isinstance(part, nn.BatchNorm2d) for part in op.modules()) == n_norms


@pytest.mark.parametrize(
    ("form", "side", "expected"),
    [("cifar", 28, False), ("cifar", 29, True), ("imagenet", 192, False), ("imagenet", 193, True)],
)
def test_auxiliary_head_is_left_out_below_its_smallest_input(form: Any, side: int, expected: bool) -> None:
    """29 pixels leave it 8 x 8, 193 pixels of the ImageNet form 7 x 7."""
    space = Darts(input_shape=(3, side, side), form=form, channels=4, cells=3, auxiliary=0.4)
    with torch.device("meta"):
        network = space.build_for_training(open_architecture("darts-v1").arch)
        assert isinstance(network, TwoInputNetwork)
        assert (network.auxiliary is not None) == expected
        assert network.train()(torch.empty(2, 3, side, side)).shape == (2, 10)


def test_drop_path_changes_training_only() -> None:
    """The same state dict with and without; in evaluation the same logits."""
    torch.manual_seed(0)
    arch, space = open_architecture("darts-v2").arch, Darts(**{**TINY, "nodes": 4})
    plain, dropping = space.build(arch), space.with_args(drop_path=0.5).build(arch)
    dropping.load_state_dict(plain.state_dict(), strict=True)
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), dropping.eval()(x))
        assert not torch.equal(plain.train()(x), dropping.train()(x))


def test_none_takes_part_in_a_mixture_as_missing_weight() -> None:
    """Weights that sum to less than 1 are what a mixture with `none` gives (Snas has it as an operation)."""
    torch.manual_seed(0)
    tiny = {**TINY, "nodes": 1, "affine": False}
    darts, snas = Darts(**tiny).supernet(), Snas(**tiny).supernet()
    snas.load_state_dict(darts.state_dict(), strict=True)
    x, weights = torch.randn(4, 3, 8, 8), torch.softmax(torch.randn(8), 0).tolist()
    names = [f"{kind}.edge{j}2" for kind in ("normal", "reduce") for j in (0, 1)]
    selection_of(darts).relax({name: list(enumerate(weights[1:])) for name in names})
    selection_of(snas).relax({name: list(enumerate(weights)) for name in names})
    with torch.no_grad():
        assert torch.allclose(darts(x), snas(x), atol=1e-5)


@pytest.mark.parametrize("space", [Darts(), Darts(**IMAGENET), Darts(input_shape=(1, 9, 14), cells=5, nodes=3)])
def test_drawn_maps_are_those_of_the_network(space: Darts) -> None:
    """Channels and sides of the skeleton's boxes, each as often as it stands for."""
    arch = space.sample(1, np.random.default_rng(0))[0]
    strip = space.drawing(arch).panels[-1]
    assert isinstance(strip, Strip)
    drawn = [(block.channels, block.resolution) for block in strip.blocks[:-1] for _ in range(block.repeats)]
    found = []
    with torch.device("meta"):
        network = space.build(arch)
        assert isinstance(network, TwoInputNetwork)
        for part in (*network.stems, *network.cells):
            part.register_forward_hook(lambda _m, _a, out: found.append((out.shape[1], tuple(out.shape[2:]))))
        network(torch.empty(2, *space.input_shape))
    assert drawn == found


def test_cells_are_drawn_as_their_genotype_says() -> None:
    """Eight operations a cell of DARTS; a node without edges has none, but goes into the output."""
    found = open_architecture("snas-aggressive")
    normal, reduction, _ = found.space.drawing(found.arch).panels
    assert isinstance(normal, Graph)
    assert isinstance(reduction, Graph)
    assert [sum(bool(edge.label) for edge in graph.edges) for graph in (normal, reduction)] == [8, 2]
    assert [edge.source for edge in reduction.edges if edge.target == "c_{k}"] == ["2", "3", "4", "5"]


# ── what is refused ───────────────────────────────────────────────────────────────────────────────

GOOD = "skip-0,sep3-1+skip-0,sep3-1+skip-0,sep3-1+skip-0,sep3-1"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (GOOD, "has 1 cells; write a normal and a reduction cell"),
        (f"{GOOD}/skip-0,sep3-1", "the reduction cell has 1 nodes; give 4"),
        (
            f"{GOOD}/skip-0,sep3-1+skip-0+skip-0,sep3-1+skip-0,sep3-1",
            "reduction cell, node 3: it has 1 edges; give two",
        ),
        (f"skip-0,sep4-1{GOOD[13:]}/{GOOD}", "normal cell, node 2: unknown operation 'sep4'; choose one of none, max"),
        (f"skip-0,sep3-2{GOOD[13:]}/{GOOD}", "normal cell, node 2: it cannot read state 2; its inputs are 0 to 1"),
        (f"skip-0,sep3-x{GOOD[13:]}/{GOOD}", "normal cell, node 2: 'sep3-x' is no edge"),
        (f"skip-1,sep3-1{GOOD[13:]}/{GOOD}", "normal cell, node 2: it reads state 1 twice"),
        (f"none-0,sep3-1{GOOD[13:]}/{GOOD}", "normal cell, node 2: a cell of DARTS has no edge 'none'"),
        ("Genotype(normal=[])", "the genotype has normal; write Genotype"),
        ("Genotype(__import__('os'))", "is not Genotype"),
        (
            "Genotype(normal=[('skip_connect', 0)], normal_concat=[2,3,4,5], reduce=[], reduce_concat=[2,3,4,5])",
            "the normal cell of the genotype has 1 edges; give 8, two a node",
        ),
        (
            "Genotype(normal=[], normal_concat=[2,3], reduce=[], reduce_concat=[2,3,4,5])",
            "normal_concat is [2, 3]; the cell joins its nodes",
        ),
    ],
)
def test_codes_that_are_no_cells(code: str, message: str) -> None:
    """One line that names the place."""
    with pytest.raises(InvalidArchError) as caught:
        Darts().parse(code)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 7, 32)}, "at least 8 pixels a side in its form cifar, not 7"),
        ({"input_shape": (3, 32, 32), "form": "imagenet"}, "at least 64 pixels a side in its form imagenet, not 32"),
        ({"input_shape": (32,)}, "takes images"),
        ({"form": "mnist"}, "'mnist'; choose one of cifar, imagenet"),
        ({"channels": -4}, "channels is -4; give a whole number, 2 to 10,000"),
        ({"cells": 2}, "cells is 2; give a whole number, 3 to 1,000"),
        ({"nodes": 9}, "nodes is 9; give a whole number, 1 to 8"),
        ({"n_classes": 0}, "number of classes is 0"),
        ({"affine": "no"}, "affine is 'no'; give true or false"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"auxiliary": -1}, "auxiliary is -1; give a number, 0 or more"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each says what is accepted."""
    with pytest.raises(InvalidValueError) as caught:
        Darts(**arguments)
    assert message in str(caught.value)


def test_missing_edge_in_a_file_is_named(tmp_path: Path) -> None:
    """An arch.json that lost one operation."""
    arch = open_architecture("darts-v2").arch.to_json()
    del arch["reduce.edge25"]
    (tmp_path / "arch.json").write_text(json.dumps({"format": 1, "space": "darts", "arch": arch}), "utf-8")
    with pytest.raises(InvalidArchError, match=r"'reduce.edge25' is missing"):
        open_architecture(str(tmp_path / "arch.json"))


def test_every_arch_has_its_code() -> None:
    """Random cells of both spaces with the papers' four nodes."""
    for space in (Darts(), Snas()):
        for arch in space.sample(50, np.random.default_rng(0)):
            assert space.parse(space.code(arch)) == arch
    assert set(OPS) == set(PRIMITIVES) - {"none"}
