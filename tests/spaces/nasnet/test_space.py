"""NASNet's space: size, sampling, tokens, forms, errors, pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.drawing import Graph, Strip
from archwright.core.errors import InvalidArchError, InvalidValueError, UsageError
from archwright.costs import Params
from archwright.costs.tables.counted import tables_of
from archwright.costs.tables.pieces import PieceTables
from archwright.spaces import AmoebaNet, NasNet, open_architecture
from archwright.spaces.nasnet.forms import stack, strides_of
from archwright.spaces.nasnet.genotype import genotype_of_tokens, genotype_tokens, token_dims

CELL = "identity~0+max_pool_3x3~1,conv_1x1~2.conv_3x3~0"
SMALL = NasNet(cells=1, channels=2, blocks=2)


@pytest.mark.parametrize(("n_ops", "n_combines"), [(13, 2), (13, 1), (5, 1)])
@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_size_is_the_product_of_the_tokens_values(n_ops: int, n_combines: int, blocks: int) -> None:
    """(((B + 1)!)^2 M^(2B) K^B)^2."""
    space = NasNet(blocks=blocks, ops=NasNet.default_ops[:n_ops], combines=["add", "concat"][:n_combines])
    assert space.size() == (math.factorial(blocks + 1) ** 2 * n_ops ** (2 * blocks) * n_combines**blocks) ** 2
    assert space.size() == math.prod(token_dims(n_ops, blocks, n_combines))


def test_sizes_of_the_papers_spaces() -> None:
    """5.23e36, with sums only 5.11e33, AmoebaNet 3.10e29, and 8.1e13 of a survey's example."""
    assert f"{NasNet().size():.2e}" == "5.23e+36"
    assert f"{NasNet(combines=['add']).size():.2e}" == "5.11e+33"
    assert AmoebaNet().size() == 720**4 * 8**20
    assert f"{NasNet(blocks=3, ops=NasNet.default_ops[:5], combines=['add']).size():.1e}" == "8.1e+13"


def test_random_genotypes_read_earlier_states_only() -> None:
    """Block b reads states 0 to b + 1; tokens are in their ranges and give the genotype again."""
    space = NasNet()
    dims = token_dims(13)
    assert len(dims) == 50
    for arch in space.sample(50, np.random.default_rng(0)):
        genotype = space.genotype(arch)
        for _, cell in genotype.cells():
            for b, block in enumerate(cell):
                assert max(block.first.source, block.second.source) <= b + 1
        tokens = genotype_tokens(genotype, space.ops)
        assert all(0 <= token < n for token, n in zip(tokens, dims, strict=True))
        assert genotype_of_tokens(tokens, space.ops) == genotype
        assert space.arch_of(genotype) == arch


def test_a_step_of_amoebanet_changes_one_input_or_one_operation_equally_often() -> None:
    """The paper's two mutations, at odds of a half each."""
    space, rng = AmoebaNet(), np.random.default_rng(0)
    rows = space.decisions.sample(4_000, rng)
    changed = space.mutate(rows, rng) != rows
    assert changed.sum(axis=1).tolist() == [1] * len(rows)
    is_input = np.array(["input" in name for name in space.decisions.names])
    assert changed[:, is_input].sum() / len(rows) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (CELL, "has 1 cells parted by '/'"),
        (f"{CELL}/identity~0+identity~0", "the reduction cell has 1 blocks parted by ','; give 2"),
        (f"{CELL},conv_1x1~0+conv_1x1~0/{CELL}", "the normal cell has 3 blocks"),
        (f"{CELL}/identity~0,{CELL.split(',')[1]}", "block 0 of the reduction cell is 'identity~0'; give two edges"),
        (f"swish~0+identity~0,{CELL.split(',')[1]}/{CELL}", "block 0 of the normal cell has the operation 'swish'"),
        (f"identity~2+identity~0,{CELL.split(',')[1]}/{CELL}", "block 0 of the normal cell reads state '2'"),
        (f"identity~-1+identity~0,{CELL.split(',')[1]}/{CELL}", "reads state '-1'"),
        (f"{CELL}@3/{CELL}", "only one of the two cells"),
        (f"{CELL}@4/{CELL}@3", "the output of the normal cell reads state '4'"),
        (f"{CELL}@3.3/{CELL}@3", r"outputs are \[3, 3\]"),
        (f"{CELL}@3/{CELL}@3", "leave the cells of the genotype"),
    ],
)
def test_bad_genotypes_are_refused_by_place(code: str, message: str) -> None:
    """One line that names cell and block."""
    with pytest.raises(InvalidArchError, match=message) as caught:
        SMALL.parse(code)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tokens", "message"), [([0] * 49, "there are 49 tokens"), ([0] * 49 + [2], "token 49 is 2; give 0 to 1")]
)
def test_bad_tokens_are_refused(tokens: list[int], message: str) -> None:
    """Too few, out of range."""
    with pytest.raises(InvalidArchError, match=message):
        genotype_of_tokens(tokens, NasNet.default_ops)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"input_shape": (3, 32)}, "takes images"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
        ({"channels": -4}, "channels is -4"),
        ({"channels": 1}, "at least 2 for form cifar"),
        ({"channels": 3, "form": "imagenet"}, "at least 4 for form imagenet"),
        ({"cells": 0}, "cells is 0"),
        ({"blocks": "five"}, "blocks is 'five'"),
        ({"form": "mnist"}, "form is 'mnist'; give one of cifar, imagenet"),
        ({"ops": ["swish"]}, "ops is"),
        ({"ops": []}, "ops is"),
        ({"combines": ["add", "add"]}, "combines is"),
        ({"outputs": [[1]]}, "outputs is"),
        ({"outputs": [[9], [2]]}, r"the normal cell's outputs are \[9\]"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"dropout": "much"}, "dropout is 'much'"),
        ({"auxiliary": "0.4"}, "auxiliary is '0.4'"),
        ({"outputs": 3}, "outputs is"),
        ({"auxiliary": -0.1}, "auxiliary is -0.1"),
        ({"skip_reduction_input": "yes"}, "skip_reduction_input is 'yes'"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each by its name."""
    with pytest.raises((InvalidValueError, InvalidArchError), match=message):
        NasNet(**arguments)


def test_a_missing_edge_in_a_file_is_named() -> None:
    """As any missing decision."""
    found = open_architecture("nasnet-a-6-768")
    values = {name: value for name, value in found.arch.items() if name != "normal.block3.op2"}
    with pytest.raises(UsageError, match=r"'normal\.block3\.op2' is missing"):
        found.space.build(values)


@pytest.mark.parametrize(
    ("side", "form", "expected"),
    [
        (331, "imagenet", (2, [2, 2, 2, 2])),
        (99, "imagenet", (2, [2, 2, 2, 2])),
        (98, "imagenet", (1, [2, 2, 2, 2])),  # 48 behind a strided stem would end at 3
        (32, "imagenet", (1, [1, 2, 2, 2])),
        (32, "cifar", (1, [2, 2])),
        (13, "cifar", (1, [2, 2])),
        (12, "cifar", (1, [1, 2])),
        (4, "cifar", (1, [1, 1])),
    ],
)
def test_as_many_strides_as_leave_a_map_of_four(side: int, form: Any, expected: tuple[int, list[int]]) -> None:
    """The first ones go first."""
    assert strides_of(side, form) == expected


def test_stack_of_nasnet_a_mobile() -> None:
    """Kinds, widths and the earlier results of 16 cells."""
    positions = stack(4, 44, [2, 2, 2, 2])
    kinds = "".join(position.kind[0] for position in positions)
    assert kinds == "rr" + "nnnn" + "r" + "nnnn" + "r" + "nnnn"
    assert [position.channels for position in positions] == [11, 22, *[44] * 4, *[88] * 5, *[176] * 5]
    assert [position.previous for position in positions] == [0, *range(15)]


def test_derived_outputs_are_the_unread_states() -> None:
    """The cell of `CELL` gives its last block only: F channels; without the edge from state 2, two of them."""
    for cell, width in ((CELL, 8), (CELL.replace("~2", "~1"), 16)):
        with torch.device("meta"):
            network = SMALL.build(SMALL.parse(f"{cell}/{cell}"))
        assert network.head[-1].in_features == width  # type: ignore[index, union-attr]


def test_costs_of_the_whole_space_come_from_pieces() -> None:
    """Random members of the full space: the sum of parts is the built network's count; expectation is their mean."""
    space = NasNet(cells=1, channels=4, combines=["add"], outputs=[[2, 6], [2, 6]], ops=NasNet.default_ops[:4])
    tables = tables_of(space)
    assert isinstance(tables, PieceTables)
    uniform = {d.name: np.full(len(d.values), 1 / len(d.values)) for d in space.decisions}
    mean = float(Params().expected(space, uniform))
    rows = space.decisions.sample(100_000, np.random.default_rng(0))
    params = Params().cost_rows(space, rows)
    assert mean == pytest.approx(params.mean(), abs=4 * params.std() / len(rows) ** 0.5)


def test_drawing_has_two_cells_and_the_network() -> None:
    """Inputs, ten operations, five states and the output of each cell; six states leave the normal one."""
    found = open_architecture("nasnet-a-6-768")
    normal, reduction, network = found.space.drawing(found.arch).panels
    assert isinstance(normal, Graph)
    assert isinstance(reduction, Graph)
    assert isinstance(network, Strip)
    assert len(normal.nodes) == len(reduction.nodes) == 2 + 10 + 5 + 1
    assert sorted(edge.source for edge in normal.edges if edge.target == "out") == list("123456")
    assert sum(block.repeats for block in network.blocks) >= 20
