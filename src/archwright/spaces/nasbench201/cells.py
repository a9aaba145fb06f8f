"""The notations of NAS-Bench-201's files and papers: a cell as text, index, matrix, and text of its equivalence class.

A cell is given as the operation on each of its six edges, in the order of `EDGES`.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidArchError

N_NODES = 4
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = tuple((source, target) for target in range(1, N_NODES) for source in range(target))
"""(source, target) in the benchmark's order: 0→1, 0→2, 1→2, 0→3, 1→3, 2→3."""

N_CELLS = len(OPS) ** len(EDGES)
EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"

Cell = tuple[str, ...]


def cell_text(cell: Cell) -> str:
    """A cell in the benchmark's own notation: one group for each node, with `operation~source` between bars.

    >>> cell_text(("none", "none", "skip_connect", "nor_conv_1x1", "none", "avg_pool_3x3"))
    '|none~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|'
    """
    return "+".join(
        "|" + "|".join(f"{op}~{source}" for source, op in edges) + "|" for edges in _incoming(cell).values()
    )


def parse_cell(text: str) -> Cell:
    """The cell of a text in the benchmark's notation; the edges into a node may come in any order.

    Raises:
        InvalidArchError: If it is not in that notation, lacks an edge, or names an unknown operation.
    """
    groups = text.split("+")
    if len(groups) != N_NODES - 1 or not all(re.fullmatch(r"\|(?:\w+~\d+\|)+", group, re.ASCII) for group in groups):
        raise InvalidArchError(
            f"{text!r} is no cell of NAS-Bench-201; write it like {EXAMPLE}, or give its index, 0 to {N_CELLS - 1}"
        )
    found: dict[tuple[int, int], str] = {}
    for target, group in enumerate(groups, start=1):
        for entry in group.strip("|").split("|"):
            op, _, source = entry.partition("~")
            if op not in OPS:
                raise InvalidArchError(f"cell {text!r} has the operation {op!r}; choose one of {', '.join(OPS)}")
            found[int(source), target] = op
        if len(group.strip("|").split("|")) != target or any((source, target) not in found for source in range(target)):
            sources = ", ".join(map(str, range(target)))
            raise InvalidArchError(
                f"cell {text!r} has {group!r} for node {target}; give one operation for each of the nodes {sources}"
            )
    return tuple(found[edge] for edge in EDGES)


def cell_index(cell: Cell) -> int:
    """The position in the benchmark's list of all cells."""
    position = 0
    for op in cell:
        position = len(OPS) * position + OPS.index(op)
    return int(_official_order()[1][position])


def cell_of_index(index: int) -> Cell:
    """The cell at a position of the benchmark's list.

    Raises:
        InvalidArchError: If there is no such position.
    """
    if not 0 <= index < N_CELLS:
        raise InvalidArchError(f"cell index {index} does not exist in NAS-Bench-201; give 0 to {N_CELLS - 1}")
    position = int(_official_order()[0][index])
    digits = []
    for _ in EDGES:
        position, digit = divmod(position, len(OPS))
        digits.append(OPS[digit])
    return tuple(reversed(digits))


def cell_matrix(cell: Cell) -> NDArray[np.int64]:
    """A matrix (4, 4): entry [target, source] is the position of the edge's operation in `OPS`; 0 without an edge."""
    matrix = np.zeros((N_NODES, N_NODES), dtype=np.int64)
    for (source, target), op in zip(EDGES, cell, strict=True):
        matrix[target, source] = OPS.index(op)
    return matrix


def unique_text(cell: Cell, *, consider_zero: bool = True) -> str:
    """A text that isomorphic cells share (Dong & Yang, ICLR 2020; rule of the released API's `to_unique_str`).

    Each node is written as its sorted terms, from the input on; a skip passes its source's text on. With
    `consider_zero` a term that comes through `none` or from a node that is zero is written `#`. As in the released code
    a `#` stays in a sum of several terms, so "x + #" is not merged with "x". This gives 6,466 classes, more than the
    5,773 different functions.

    Args:
        cell: The cell.
        consider_zero: Whether `none` counts as zero (6,466 classes) or as an operation like others (12,751).
    """
    nodes = ["0"]
    for edges in _incoming(cell).values():
        terms = []
        for source, op in edges:
            if consider_zero and (op == "none" or nodes[source] == "#"):
                terms.append("#")
            else:
                terms.append(nodes[source] if op == "skip_connect" else f"({nodes[source]})@{op}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _incoming(cell: Cell) -> dict[int, list[tuple[int, str]]]:
    """(source, operation) of the edges into each node but the first."""
    found: dict[int, list[tuple[int, str]]] = {target: [] for target in range(1, N_NODES)}
    for (source, target), op in zip(EDGES, cell, strict=True):
        found[target].append((source, op))
    return found


@functools.cache
def _official_order() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the Cartesian product (last edge fastest) in the official order, and the inverse.

    The benchmark shuffled the product with Python's generator seeded by 88; the table lists the result, and all of
    its 15,625 entries agree.
    """
    order = list(range(N_CELLS))
    random.Random(88).shuffle(order)
    positions = np.array(order)
    return positions, np.argsort(positions)


def all_cells() -> Iterator[Cell]:
    """Every cell, by index."""
    return map(cell_of_index, range(N_CELLS))
