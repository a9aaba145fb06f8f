"""From architecture parameters to cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.spaces import Darts, Snas, open_architecture
from archwright.spaces.darts.derivation import derive_darts, derive_snas
from archwright.spaces.darts.genotypes import CELLS, PRIMITIVES, genotype_text, parse_genotype

EDGES = [(source, node) for node in range(2, 6) for source in range(node)]


def peaked(code: str) -> dict[str, np.ndarray[Any, Any]]:
    """Parameters that are large at a genotype's edges, and whose next best is `none`."""
    found = {}
    for kind, cell in parse_genotype(code, 4).items():
        matrix = np.zeros((14, 8))
        matrix[:, 0] = 1.0
        for node, edges in enumerate(cell, 2):
            for op, source in edges:
                matrix[EDGES.index((source, node)), PRIMITIVES.index(op)] = 3.0
        found[kind] = matrix
    return found


def test_parameters_that_peak_on_a_cell_give_it() -> None:
    """DARTS_V2, and SNAS's aggressive cells, of which two nodes are empty."""
    found = open_architecture("darts-v2")
    assert Darts().parse(genotype_text(derive_darts(peaked(Darts().code(found.arch))))) == found.arch
    found = open_architecture("snas-aggressive")
    assert Snas().parse(genotype_text(derive_snas(peaked(Snas().code(found.arch))))) == found.arch


def test_two_edges_a_node_and_never_none(rng: np.random.Generator) -> None:
    """Eight pairs a cell with distinct predecessors, even where `none` leads by far; always a member."""
    for _ in range(20):
        parameters = {kind: rng.standard_normal((14, 8)) for kind in CELLS}
        parameters["normal"][:, 0] = 9.0
        cells = derive_darts(parameters)
        for cell in cells.values():
            assert [len({source for _, source in edges}) for edges in cell] == [2, 2, 2, 2]
            assert all(op != "none" for edges in cell for op, _ in edges)
        Darts().parse(genotype_text(cells))


def test_none_weakens_its_edge() -> None:
    """Strength is the softmax weight with `none` in its sum: the largest parameter alone does not decide."""
    matrix = np.zeros((14, 8))
    matrix[2:5, 4] = [2.0, 1.5, 1.0]  # into node 3
    matrix[2, 0] = 4.0
    edges = derive_darts({"normal": matrix, "reduce": matrix})["normal"][1]
    assert edges == (("sep_conv_3x3", 1), ("sep_conv_3x3", 2))


def test_edges_come_in_decreasing_strength() -> None:
    """As the released code lists them; of equals the earlier state."""
    matrix = np.zeros((14, 8))
    matrix[:2, 3] = [1.0, 2.0]
    normal = derive_darts({"normal": matrix, "reduce": matrix})["normal"]
    assert normal[0] == (("skip_connect", 1), ("skip_connect", 0))
    assert normal[1] == (("max_pool_3x3", 0), ("max_pool_3x3", 1))


def test_snas_keeps_the_likeliest_of_every_edge() -> None:
    """Any number of inputs."""
    matrix = np.zeros((14, 8))
    matrix[:, 0] = 1.0
    matrix[9:12, 7] = 2.0
    cell = derive_snas({"normal": matrix, "reduce": matrix})["normal"]
    assert [[source for _, source in edges] for edges in cell] == [[], [], [], [0, 1, 2]]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"normal": np.zeros((14, 8))}, "reduce cell are missing; give normal and reduce"),
        ({"normal": np.zeros((14, 7)), "reduce": np.zeros((14, 8))}, r"shape \(14, 7\); give \(14, 8\)"),
        ({"normal": np.full((14, 8), np.nan), "reduce": np.zeros((14, 8))}, "not finite"),
    ],
)
def test_parameters_that_are_none(parameters: dict[str, Any], message: str) -> None:
    """Missing, of another shape, not finite."""
    with pytest.raises(InvalidValueError, match=message):
        derive_darts(parameters)
