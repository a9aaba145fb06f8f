"""The cell space of NAS-Bench-201: decisions, skeleton, costs of the whole table, names of its members."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.decisions import Rows
from archwright.core.drawing import Graph, Strip
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import Macs, NasBench201Flops, Params, count
from archwright.nn import Supernet, selection_of
from archwright.nn.choice.modules import OpChoice
from archwright.spaces import NasBench201, Space, open_architecture
from archwright.spaces.nasbench201.cells import EDGES, EXAMPLE, N_NODES, OPS, all_cells, cell_text
from archwright.testing import SpaceContract
from archwright.training.recalibrate import recalibrate

SMALL = NasBench201(input_shape=(3, 8, 8), n_classes=5, channels=4, cells=1)
DATASETS = {"c10": ((3, 32, 32), 10), "c100": ((3, 32, 32), 100), "in16": ((3, 16, 16), 120)}
FIGURES = {
    0: ((0.129306, 15.64737), (0.135156, 15.65322), (0.136456, 3.91948)),
    11: ((0.802426, 113.95137), (0.808276, 113.95722), (0.809576, 28.49548)),
    284: ((0.101306, 11.71521), (0.107156, 11.72106), (0.108456, 2.93644)),
}
"""Index: parameters and FLOPs in millions on CIFAR-10, CIFAR-100, ImageNet16-120, as published."""


class TestContract(SpaceContract):
    n_archs = 3
    n_costed = 6
    every_weight_matters = False  # what only an edge "none" reads does not reach the output

    def make(self) -> Space:
        return SMALL


class TestContractOfSearchForm(TestContract):
    def make(self) -> Space:
        return SMALL.search_form()


def on(dataset: str, **changes: object) -> NasBench201:
    shape, n_classes = DATASETS[dataset]
    return NasBench201(input_shape=shape, n_classes=n_classes, **changes)  # type: ignore[arg-type]


def test_sizes() -> None:
    """5^6, twice 4^6, 3^6."""
    assert [NasBench201(reduce=r).size() for r in (0, 1, 2, 3)] == [15_625, 4_096, 4_096, 729]


@pytest.mark.parametrize("reduce", [0, 1, 2, 3])
def test_declared_decisions_are_those_recorded(reduce: int) -> None:
    """The written-down list and the network's requests agree, and all cells share six decisions."""
    space, chooser = NasBench201(reduce=reduce, cells=2), Supernet()  # type: ignore[arg-type]
    with torch.device("meta"):
        space.network(chooser)
    assert space.decisions == chooser.decisions()
    assert len(space.decisions) == 6


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("index", FIGURES)
def test_published_figures_of_built_networks(index: int, dataset: str) -> None:
    """To the last digit."""
    space = on(dataset)
    with torch.device("meta"):
        network = space.build(space.parse(str(index)))
    params, flops = FIGURES[index][list(DATASETS).index(dataset)]
    assert round(count(network, space.input_shape).params / 1e6, 6) == params
    assert count(network, space.input_shape).uncounted == []
    assert NasBench201Flops().cost_module(network, space.input_shape) == round(flops * 1e6)


@pytest.fixture(scope="module")
def table(shared_data: Callable[[str], Path]) -> tuple[list[dict[str, str]], Rows]:
    """Every cell as published, and the rows of their texts."""
    with gzip.open(shared_data("nasbench201/nb201.csv.gz"), "rt", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    space = NasBench201()
    return lines, space.decisions.rows([space.parse(line["arch"]) for line in lines])


@pytest.mark.parametrize("dataset", DATASETS)
def test_costs_of_every_cell_of_the_table(dataset: str, table: tuple[list[dict[str, str]], Rows]) -> None:
    """Parameters exactly, FLOPs to 1e-6 M, for 15,625 cells from tables."""
    lines, rows = table
    space = on(dataset)
    params = [round(1e6 * float(line[f"params_calc_M_{dataset}"])) for line in lines]
    flops = np.array([float(line[f"flops_calc_M_{dataset}"]) for line in lines])
    assert Params().cost_rows(space, rows).tolist() == params
    assert np.abs(NasBench201Flops().cost_rows(space, rows) / 1e6 - flops).max() < 1e-6


def test_extreme_cells() -> None:
    """All 3x3 and all none, CIFAR-10."""
    space = NasBench201()
    rows = space.decisions.rows([dict.fromkeys(space.decisions.names, op) for op in ("nor_conv_3x3", "none")])
    assert Params().cost_rows(space, rows).tolist() == [1_531_546, 73_306]
    assert NasBench201Flops().cost_rows(space, rows).tolist() == [220_119_690, 7_783_050]


def test_skeleton() -> None:
    """Channels and sides behind each of the 17 layers' stages."""
    space = NasBench201()
    with torch.device("meta"):
        network = space.build(space.parse("1"))
        x = torch.empty(2, 3, 32, 32)
        shapes = {}
        for name, stage in network.named_children():
            x = stage(x)
            shapes[name] = tuple(x.shape[1:])
    assert list(shapes) == [
        *("stem", *(f"cell0_{i}" for i in range(5))),
        *("down1", *(f"cell1_{i}" for i in range(5))),
        *("down2", *(f"cell2_{i}" for i in range(5)), "head"),
    ]
    assert [shapes[name] for name in ("stem", "cell0_4", "down1", "cell1_4", "down2", "cell2_4", "head")] == [
        *((16, 32, 32), (16, 32, 32), (32, 16, 16), (32, 16, 16), (64, 8, 8), (64, 8, 8), (10,))
    ]


def connects(space: NasBench201, cell: tuple[str, ...]) -> bool:
    """Whether a path leads from input to output: by following edges forward."""
    reached = {0}
    for (source, target), op in zip(EDGES, cell, strict=True):
        if op != "none" and source in reached:
            reached.add(target)
    return N_NODES - 1 in reached


def test_341_cells_have_no_path() -> None:
    """15,284 have one."""
    assert sum(connects(SMALL, cell) for cell in all_cells()) == 15_284


@pytest.mark.parametrize(
    "cell",
    [
        ("none",) * 6,
        ("nor_conv_3x3", "none", "none", "none", "none", "nor_conv_1x1"),  # from a node that is zero
        ("nor_conv_3x3", "skip_connect", "avg_pool_3x3", "none", "none", "none"),
    ],
)
def test_logits_of_a_disconnected_cell_are_constant(cell: tuple[str, ...]) -> None:
    """The same for any image, also with shifts and statistics of training."""
    assert not connects(SMALL, cell)
    torch.manual_seed(0)
    network = SMALL.build(SMALL.parse(cell_text(cell)))
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.normal_(norm.bias)
    recalibrate(network, [torch.randn(8, 3, 8, 8)])
    with torch.no_grad():
        logits = network.eval()(torch.randn(16, 3, 8, 8))
    assert logits.std(dim=0).max() < 1e-6
    assert logits.std() > 1e-3


def test_connected_cells_see_the_image() -> None:
    """The counterpart of the test above."""
    network = SMALL.build(SMALL.parse("1")).eval()
    with torch.no_grad():
        assert network(torch.randn(16, 3, 8, 8)).std(dim=0).min() > 1e-6


@pytest.mark.parametrize("side", [8, 9, 11, 15, 28, 33])
def test_any_side_from_8(side: int) -> None:
    """Odd ones are rounded up at each halving."""
    space = SMALL.with_args(input_shape=(1, side, side + 1))
    network = space.build(space.parse("0"))
    assert network(torch.randn(2, 1, side, side + 1)).shape == (2, 5)
    network = network[:-1]  # type: ignore[index]
    assert network(torch.randn(2, 1, side, side + 1)).shape[2:] == (-(-side // 4), -(-(side + 1) // 4))


def test_search_form_has_no_affine_norm_in_its_operations() -> None:
    """Only there; their convolutions have a bias instead. Decisions are the same."""
    searched = SMALL.search_form()
    assert searched.decisions == SMALL.decisions
    network = searched.supernet()
    inside = [part for choice in network.modules() if isinstance(choice, OpChoice) for part in choice.modules()]
    norms = [part for part in inside if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.affine for norm in norms)
    assert all(part.bias is not None for part in inside if isinstance(part, nn.Conv2d))
    outside = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d) and part not in norms]
    assert all(norm.affine for norm in outside)


def test_macs_do_not_depend_on_the_form() -> None:
    """A bias is free."""
    rows = SMALL.decisions.sample(20, np.random.default_rng(0))
    assert Macs().cost_rows(SMALL.search_form(), rows).tolist() == Macs().cost_rows(SMALL, rows).tolist()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layout_is_kept(layout: torch.memory_format) -> None:
    """Through every operation, forward and backward."""
    torch.manual_seed(0)
    space = NasBench201(channels=8, cells=1)
    network = space.supernet().to(memory_format=layout)  # type: ignore[call-overload]
    selection_of(network).activate(space.parse("1"))
    seen: list[torch.Tensor] = []
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.AvgPool2d | nn.BatchNorm2d):
            part.register_forward_hook(lambda part, inputs, out: out.register_hook(seen.append) and None)
    network(torch.randn(2, 3, 32, 32).to(memory_format=layout)).sum().backward()
    assert seen
    assert all(gradient.is_contiguous(memory_format=layout) for gradient in seen)


# ── names of cells ────────────────────────────────────────────────────────────────────────────────


def test_codes_are_texts_and_indices() -> None:
    """The arch of either is the same, and its code is the text."""
    space = NasBench201()
    by_index = open_architecture("nasbench201:6111")
    assert space.code(by_index.arch) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    assert open_architecture(f"nasbench201:{space.code(by_index.arch)}").arch == by_index.arch
    assert space.index(by_index.arch) == 6111


def test_every_arch_comes_back_from_code_and_index() -> None:
    """500 random ones."""
    space = NasBench201()
    for arch in space.sample(500, np.random.default_rng(0)):
        assert space.parse(space.code(arch)) == arch
        assert space.parse(str(space.index(arch))) == arch


@pytest.mark.parametrize("reduce", [1, 2, 3])
def test_reduced_spaces_keep_names_of_the_full_one(reduce: int) -> None:
    """Text and index of a member are those it has in the full space."""
    reduced, full = NasBench201(reduce=reduce), NasBench201()  # type: ignore[arg-type]
    for arch in reduced.sample(50, np.random.default_rng(0)):
        assert (reduced.code(arch), reduced.index(arch)) == (full.code(arch), full.index(arch))
        assert reduced.parse(str(full.index(arch))) == arch


def test_a_cell_that_is_left_out_is_refused() -> None:
    """With the operation, the edge and the way out; by index the text is shown too."""
    with pytest.raises(InvalidArchError) as raised:
        NasBench201(reduce=1).parse("6111")
    assert "6111 (|nor_conv_3x3~0|" in str(raised.value)
    assert "has nor_conv_1x1 on edge 2→3" in str(raised.value)
    assert "(reduce=1); use reduce=0" in str(raised.value)


@pytest.mark.parametrize("code", ["15625", "1" * 5000, "333132x", "²"])
def test_impossible_codes_are_refused(code: str) -> None:
    """Beyond the last index, a number without end, neither text nor index."""
    with pytest.raises(InvalidArchError, match=r"0 to 15624"):
        NasBench201().parse(code)


def test_matrix_and_equivalence_key() -> None:
    """Those of the cell."""
    space = NasBench201()
    assert space.matrix(space.parse("1")).tolist() == [[0, 0, 0, 0], [3, 0, 0, 0], [3, 4, 0, 0], [1, 3, 1, 0]]
    one = space.parse("|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|")
    other = space.parse("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    assert space.equivalence_key(one) == space.equivalence_key(other)
    assert space.equivalence_key(one, consider_zero=False) != space.equivalence_key(other, consider_zero=False)


def test_equivalent_cells_are_the_same_function() -> None:
    """With the same weights on the one convolution they have."""
    torch.manual_seed(0)
    space = SMALL
    one = space.build(space.parse("|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"))
    other = space.build(space.parse("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"))
    state = {name.replace("edge13", "edge03"): tensor for name, tensor in one.state_dict().items()}
    other.load_state_dict(state, strict=True)
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(one.eval()(x), other.eval()(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 7, 32)}, "at least 8 pixels a side, not 7"),
        ({"input_shape": (3, 32)}, "takes images"),
        ({"channels": 0}, "channels is 0; give a whole number"),
        ({"cells": 1.5}, "cells is 1.5"),
        ({"reduce": 4}, "reduce is 4; choose 0"),
        ({"reduce": True}, "reduce is True"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    """One line each."""
    with pytest.raises(InvalidValueError, match=message):
        NasBench201(**arguments)  # type: ignore[arg-type]


def test_arguments_make_the_space_again() -> None:
    """Through JSON, as files keep them."""
    space = NasBench201(input_shape=(1, 9, 9), n_classes=3, channels=8, cells=2, reduce=3, affine=False)
    again = NasBench201(**space.args())
    assert (again.args(), again.ops) == (space.args(), ("none", "skip_connect", "nor_conv_3x3"))
    assert NasBench201().ops == OPS


# ── mixtures ──────────────────────────────────────────────────────────────────────────────────────


def test_a_mixture_with_one_weight_of_1_is_the_single_path() -> None:
    """The others run too, at weight 0."""
    torch.manual_seed(0)
    network = SMALL.supernet().eval()
    selection, x = selection_of(network), torch.randn(4, 3, 8, 8)
    for arch in SMALL.sample(3, np.random.default_rng(0)):
        with torch.no_grad():
            selection.activate(arch)
            single = network(x)
            chosen = {name: OPS.index(str(op)) for name, op in arch.items()}
            selection.relax({name: [(i, float(i == k)) for i in range(5)] for name, k in chosen.items()})
            assert torch.allclose(network(x), single, atol=1e-6)


def test_every_weight_of_a_mixture_has_a_gradient() -> None:
    """Zero for `none`, whose term does not depend on it."""
    torch.manual_seed(0)
    network = SMALL.supernet()
    weights = torch.full((6, 5), 0.2, requires_grad=True)
    mixture = {name: [(i, weights[e, i]) for i in range(5)] for e, name in enumerate(SMALL.decisions.names)}
    selection_of(network).relax(mixture)
    network(torch.randn(4, 3, 8, 8))[:, 0].sum().backward()
    assert weights.grad is not None
    assert (weights.grad != 0).tolist() == [[op != "none" for op in OPS]] * 6


def test_the_drawing_is_the_cell_and_its_skeleton() -> None:
    """Six labelled edges between four states; stem, three times five cells with two residual blocks between, head."""
    space = NasBench201()
    graph, strip = space.drawing(space.parse(EXAMPLE)).panels
    assert isinstance(graph, Graph)
    assert isinstance(strip, Strip)
    assert [(edge.source, edge.target, edge.label) for edge in graph.edges] == [
        ("0", "1", "conv 3×3"),
        ("0", "2", "conv 3×3"),
        ("1", "2", "avg pool 3×3"),
        ("0", "3", "skip"),
        ("1", "3", "conv 3×3"),
        ("2", "3", "skip"),
    ]
    assert [(block.label, block.repeats, block.channels, block.resolution) for block in strip.blocks] == [
        ("conv 3×3", 1, 16, (32, 32)),
        ("cell", 5, 16, (32, 32)),
        ("downsampling", 1, 32, (16, 16)),
        ("cell", 5, 32, (16, 16)),
        ("downsampling", 1, 64, (8, 8)),
        ("cell", 5, 64, (8, 8)),
        ("global pool", 1, 64, ()),
        ("linear", 1, None, ()),
    ]
