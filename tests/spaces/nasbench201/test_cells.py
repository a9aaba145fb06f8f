"""Cells of NAS-Bench-201: texts, indices, matrices, equivalence; figures of the fact sheet and of the full table."""

from __future__ import annotations

import csv
import gzip
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from archwright.core.errors import InvalidArchError
from archwright.spaces.nasbench201.cells import (
    EDGES,
    EXAMPLE,
    OPS,
    Cell,
    all_cells,
    cell_index,
    cell_matrix,
    cell_of_index,
    cell_text,
    parse_cell,
    unique_text,
)

KNOWN = {
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    1: EXAMPLE,
    11: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
    284: "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|",
    15624: "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|",
}
COUNTS = {
    "full": (OPS, 15_625, 12_751, 6_466),
    "no 1x1": (("none", "skip_connect", "nor_conv_3x3", "avg_pool_3x3"), 4_096, 3_131, 1_236),
    "no pooling": (("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"), 4_096, 3_131, 1_236),
    "neither": (("none", "skip_connect", "nor_conv_3x3"), 729, 496, 127),
}
"""Operations, cells, classes with skip as pass-through, classes with zero besides."""


@pytest.fixture(scope="module")
def table(shared_data: Callable[[str], Path]) -> list[dict[str, str]]:
    """Every cell as published."""
    with gzip.open(shared_data("nasbench201/nb201.csv.gz"), "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_edges_are_in_the_order_of_the_benchmark() -> None:
    """0→1, 0→2, 1→2, 0→3, 1→3, 2→3."""
    assert EDGES == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def test_every_text_and_every_index_comes_back() -> None:
    """15,625 distinct cells."""
    cells = list(all_cells())
    assert len(set(cells)) == 15_625
    assert [parse_cell(cell_text(cell)) for cell in cells] == cells
    assert [cell_index(cell) for cell in cells] == list(range(15_625))


@pytest.mark.parametrize("index", KNOWN)
def test_published_indices(index: int) -> None:
    """Among them the example of the benchmark's README, index 1."""
    assert cell_text(cell_of_index(index)) == KNOWN[index]
    assert cell_index(parse_cell(KNOWN[index])) == index


def test_the_order_leaves_the_global_generator_alone() -> None:
    """It has one of its own."""
    from archwright.spaces.nasbench201.cells import _official_order

    before = random.getstate()
    _official_order.cache_clear()
    cell_of_index(0)
    assert random.getstate() == before


def test_all_indices_texts_and_operations_of_the_table(table: list[dict[str, str]]) -> None:
    """15,625 of 15,625 lines."""
    assert len(table) == 15_625
    for line in table:
        cell = cell_of_index(int(line["index"]))
        assert (cell_text(cell), "".join(str(OPS.index(op)) for op in cell)) == (line["arch"], line["ops"])


def test_classes_of_the_table(table: list[dict[str, str]]) -> None:
    """The partition by our key is the table's."""
    ours = [unique_text(parse_cell(line["arch"])) for line in table]
    theirs = [line["iso_class"] for line in table]
    assert len(set(zip(ours, theirs, strict=True))) == len(set(ours)) == len(set(theirs)) == 6_466


@pytest.mark.parametrize("name", COUNTS)
def test_numbers_of_classes(name: str) -> None:
    """As enumerated for the fact sheet."""
    ops, n_cells, n_skip, n_zero = COUNTS[name]
    cells: list[Cell] = list(itertools.product(ops, repeat=6))
    assert len(cells) == n_cells
    assert len({unique_text(cell, consider_zero=False) for cell in cells}) == n_skip
    assert len({unique_text(cell) for cell in cells}) == n_zero


def test_matrix_of_the_example() -> None:
    """As the benchmark's README prints it."""
    assert cell_matrix(parse_cell(EXAMPLE)).tolist() == [[0, 0, 0, 0], [3, 0, 0, 0], [3, 4, 0, 0], [1, 3, 1, 0]]
    assert cell_matrix(parse_cell(EXAMPLE)).dtype == np.int64


def test_a_skip_passes_its_source_on() -> None:
    """3x3 of a skipped input is 3x3 of the input."""
    one = ("skip_connect", "none", "none", "none", "nor_conv_3x3", "none")
    other = ("none", "none", "none", "nor_conv_3x3", "none", "none")
    assert unique_text(one) == unique_text(other) == "#+#+(0)@nor_conv_3x3"
    assert unique_text(one, consider_zero=False) != unique_text(other, consider_zero=False)


def test_edges_into_a_node_may_come_in_any_order() -> None:
    """The source is what counts."""
    swapped = "|nor_conv_3x3~0|+|avg_pool_3x3~1|nor_conv_3x3~0|+|skip_connect~2|skip_connect~0|nor_conv_3x3~1|"
    assert cell_text(parse_cell(swapped)) == EXAMPLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no cell of NAS-Bench-201; write it like"),
        ("15625x", "or give its index, 0 to 15624"),
        ("|none~0|+|none~0|none~1|", "is no cell"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "node 2; give one operation for each of the nodes 0, 1"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "node 2; give one operation"),
        ("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", "node 2; give one operation"),
        ("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "has the operation 'conv'; choose one of none, skip"),
        ("|none~²|+|none~0|none~1|+|none~0|none~1|none~2|", "is no cell"),
    ],
)
def test_what_is_no_cell_is_refused(text: str, message: str) -> None:
    """One line that says what would do."""
    with pytest.raises(InvalidArchError) as raised:
        parse_cell(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("index", [-1, 15_625])
def test_an_index_outside_of_the_list_is_refused(index: int) -> None:
    """The last is 15624."""
    with pytest.raises(InvalidArchError, match="give 0 to 15624"):
        cell_of_index(index)
