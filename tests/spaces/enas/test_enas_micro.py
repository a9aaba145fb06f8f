"""ENAS's cells: shared weights, the wiring of both networks, errors, pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.drawing import Graph, Strip
from archwright.core.errors import InvalidArchError, InvalidValueError, UsageError
from archwright.nn import selection_of
from archwright.nn.choice.modules import active_modules
from archwright.nn.drop_path import DropPath
from archwright.nn.ops.enas import LooseEndsCell
from archwright.spaces import EnasMicro, open_architecture

SMALL = EnasMicro(input_shape=(3, 8, 8), n_classes=3, cells=3, channels=4, blocks=2)
CELL = "0014,1021"  # sep3(0)+id(1), sep3(1)+sep5(2)


def active_parameters(network: nn.Module, arch: Arch) -> dict[str, Tensor]:
    """The parameters of the modules that run, by path."""
    selection_of(network).activate(arch)
    return {f"{path}.{n}": p for path, part in active_modules(network) for n, p in part._parameters.items()}


def test_archs_that_differ_in_one_edge_share_all_other_weights() -> None:
    """Same storage everywhere but on that edge."""
    supernet = SMALL.search_form().supernet()
    one = active_parameters(supernet, SMALL.parse(f"{CELL}/{CELL}"))
    other = active_parameters(supernet, SMALL.parse(f"0014,0021/{CELL}"))  # sep3(0) instead of sep3(1)
    common = one.keys() & other.keys()
    assert all(one[name] is other[name] for name in common)
    for names, source in ((one.keys() - common, 1), (other.keys() - common, 0)):
        assert names
        assert all(f"blocks.1.first.{source}.sep_conv_3x3." in name for name in names)


def test_a_step_reaches_selected_paths_only() -> None:
    """All other gradients are absent; rows of the last convolution that belong to read states get zeros."""
    torch.manual_seed(0)
    supernet = SMALL.search_form().supernet()
    arch = SMALL.parse(f"{CELL}/{CELL}")
    active = {id(p) for p in active_parameters(supernet, arch).values()}
    supernet(torch.randn(4, 3, 8, 8)).square().sum().backward()
    for name, parameter in supernet.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in active), name
    last = supernet.get_submodule("cells.0.project.1").get_parameter("weight").grad  # only state 3 leaves
    assert last is not None
    assert last.shape == (4, 4 * 4, 1, 1)
    assert bool((last[:, :12] == 0).all())
    assert bool((last[:, 12:] != 0).any())


def test_a_final_cell_joins_what_no_block_reads() -> None:
    """Of a reduction that leaves out state 0: that one, halved without ReLU, and the last block."""
    torch.manual_seed(0)
    space = EnasMicro(input_shape=(3, 16, 16), n_classes=3, cells=3, channels=4, blocks=2)
    arch = space.parse(f"{CELL}/1010,1221")  # state 2: sep3(1)+sep3(1); state 3: avg(1)+sep5(2)
    network = space.build(arch).eval()
    cell = network.get_submodule("cells.1")
    assert isinstance(cell, LooseEndsCell)
    assert space.outputs(arch)[1] == (0, 3)
    older, newer = torch.randn(2, 12, 16, 16), torch.randn(2, 4, 16, 16)
    with torch.no_grad():
        states = [cell.preprocess0(older), cell.preprocess1(newer)]
        for block in cell.blocks:
            states.append(block.first(states) + block.second(states))
        emitted = cell.emitted[0](states[0])
        assert torch.equal(cell(older, newer), torch.cat([emitted, states[3]], 1))
    assert emitted.shape == states[3].shape == (2, 8, 8, 8)
    assert isinstance(cell.emitted[1], nn.Identity)
    assert [type(layer).__name__ for layer in cell.preprocess1] == ["ReLU", "Conv2d", "BatchNorm2d"] * 2


def test_the_search_halves_before_a_reduction_cell() -> None:
    """That cell reads the output before the halving and the halved one, and the next cell the halved one."""
    space = EnasMicro(input_shape=(3, 16, 16), n_classes=3, cells=3, channels=4, blocks=2).search_form()
    network = space.build(space.parse(f"{CELL}/{CELL}")).eval()
    seen: list[tuple[Tensor, ...]] = []
    for part in network.get_submodule("cells").children():
        part.register_forward_hook(lambda _part, given, out: seen.append((*given, out)))
    with torch.no_grad():
        network(torch.randn(2, 3, 16, 16))
    kinds = [type(part).__name__ for part in network.get_submodule("cells").children()]
    assert kinds == [
        "LooseEndsCell",
        "OfLast",
        "LooseEndsCell",
        "LooseEndsCell",
        "OfLast",
        "LooseEndsCell",
        "LooseEndsCell",
    ]
    before, halved = seen[0][2], seen[1][2]
    assert seen[2][0] is before
    assert seen[2][1] is halved
    assert seen[3][0] is halved
    assert [out.shape[1:] for *_, out in seen[:3]] == [(4, 16, 16), (8, 8, 8), (8, 8, 8)]


def test_drop_path_grows_with_depth_and_spares_identities() -> None:
    """Rate times (layer + 1) / (L + 2), for convolutions and poolings."""
    space = EnasMicro(cells=4, channels=4, blocks=1, drop_path=0.4)
    network = space.build(space.parse("0012/1403"))
    rates = [
        sorted(part.rate for part in cell.modules() if isinstance(part, DropPath))
        for cell in network.get_submodule("cells").children()
    ]
    # normal cells: sep3 and avg; reductions at 1 and 3: identity and max
    assert rates == [pytest.approx([0.4 * (i + 1) / 6] * (1 if i in (1, 3) else 2)) for i in range(6)]


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 8), (3, 15, 15), (3, 28, 40)])
@pytest.mark.parametrize("form", ["final", "search"])
def test_small_images(shape: tuple[int, ...], form: str) -> None:
    """Logits from 4 pixels on, also where height and width differ."""
    space = EnasMicro(input_shape=shape, n_classes=3, cells=3, channels=4)
    if form == "search":
        space = space.search_form()
    with torch.device("meta"):
        network = space.build(open_architecture("enas-micro").arch)
    assert network(torch.empty(2, *shape, device="meta")).shape == (2, 3)


def test_random_archs_read_earlier_states_only() -> None:
    """Numbers of 50 draws lie in their ranges and give the arch again."""
    space = EnasMicro()
    for arch in space.sample(50, np.random.default_rng(0)):
        tokens = space.tokens(arch)
        for position, token in enumerate(tokens):
            assert 0 <= token < (5 if position % 2 else position % 20 // 4 + 2)
        assert space.arch_of_tokens(tokens) == arch


def test_a_drawing_shows_both_cells_and_the_network() -> None:
    """Ten operations a cell, loose ends enter the output; state 0 is the older cell."""
    found = open_architecture("enas-micro")
    normal, reduction, network = found.space.drawing(found.arch).panels
    for graph, n_ends in ((normal, 5), (reduction, 4)):
        assert isinstance(graph, Graph)
        assert sum(edge.target == "out" for edge in graph.edges) == n_ends
        assert sum("." in node.id for node in graph.nodes) == 10
        assert [node.label for node in graph.nodes[:2]] == ["the one before", "previous cell"]
    assert isinstance(network, Strip)
    assert sum(block.repeats for block in network.blocks if block.label == "cell") == 17


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "code '' is not one of digits"),
        ("sep3-0", "is not one of digits"),
        ("001", "has 3 numbers; give 16"),
        (f"{CELL}", "has 2 groups; give 4, block 0 of the normal cell to block 1 of the reduction cell"),
        (f"{CELL}/001,0000", "block 0 of the reduction cell has 3 numbers, '001'; give 4"),
        (f"2000,0000/{CELL}", "block 0 of the normal cell: input 1 is 2; give 0 to 1"),
        (f"{CELL}/0000,0030", "block 1 of the reduction cell: input 2 is 3; give 0 to 2"),
        (f"0050,0000/{CELL}", "block 0 of the normal cell: input 2 is 5"),
        (f"0005,0000/{CELL}", "block 0 of the normal cell: operation 2 is 5; give 0 to 4"),
    ],
)
def test_codes_that_are_no_cells(code: str, message: str) -> None:
    """One line that names cell and block."""
    with pytest.raises(InvalidArchError) as caught:
        SMALL.parse(code)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tokens", [[], [0] * 39, [0] * 41])
def test_too_few_or_too_many_numbers(tokens: list[int]) -> None:
    """Both counts are said."""
    with pytest.raises(InvalidArchError, match=f"there are {len(tokens)} numbers; an arch of this space has 40"):
        EnasMicro().arch_of_tokens(tokens)


def test_a_missing_edge_is_named() -> None:
    """As any missing decision."""
    found = open_architecture("enas-micro")
    values = {name: value for name, value in found.arch.items() if name != "normal.block3.op2"}
    with pytest.raises(UsageError, match=r"'normal\.block3\.op2' is missing"):
        found.space.build(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"input_shape": (32,)}, "takes images"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
        ({"cells": 2}, "cells is 2; give a whole number, 3 to"),
        ({"channels": -4}, "channels is -4; give a whole number, 2 to"),
        ({"channels": True}, "channels is True"),
        ({"blocks": 9}, "blocks is 9; give a whole number, 1 to 8"),
        ({"blocks": "five"}, "blocks is 'five'"),
        ({"search": "yes"}, "search is 'yes'; give true or false"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"dropout": "much"}, "dropout is 'much'"),
        ({"auxiliary": -0.1}, "auxiliary is -0.1; give a number, 0 or more"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each by its name."""
    with pytest.raises(InvalidValueError, match=message):
        EnasMicro(**arguments)
