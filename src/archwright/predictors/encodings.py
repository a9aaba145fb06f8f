"""Numbers that describe architectures for predictors, by name: one-hot, adjacency, paths, graph features.

Every space has all of them: of a space without cells (`Space.graphs`) the graph is what its decisions count, and its
adjacency and paths are the one-hot encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from archwright.core.decisions import Rows
from archwright.core.encoding import one_hot, ordinal
from archwright.core.errors import UnknownNameError
from archwright.core.graphs import Graphs
from archwright.spaces.base import Space

Encoded = NDArray[np.float32]

MOST_SUBSETS = 31
"""Sets of operations for which paths and degrees are asked; of more kinds, only sets of one, two, and all but one."""

MOST_PATHS = 4096
"""Columns of the path encoding; longer paths are left out where there would be more."""


def encode(space: Space, rows: Rows, name: str) -> Encoded:
    """Architectures (n, n_decisions) as numbers (n, k).

    Args:
        space: The space.
        rows: Members of it.
        name: One of `ENCODINGS`.

    Raises:
        UnknownNameError: If there is no such encoding.
    """
    if name not in ENCODINGS:
        raise UnknownNameError("encoding", name, ENCODINGS)
    return ENCODINGS[name](space, rows)


def adjacency(space: Space, rows: Rows) -> Encoded:
    """1 for each (source, target, operation) that a cell has (White et al., NeurIPS 2020, arXiv:2007.04965)."""
    found = []
    for graphs in space.graphs(rows).values():
        n_ops, n_nodes = len(graphs.ops), graphs.n_nodes
        places = (graphs.source * n_nodes + graphs.target) * n_ops + graphs.op
        table = np.zeros((len(rows), n_nodes * n_nodes * n_ops), dtype=np.float32)
        which, edge = np.nonzero(graphs.op >= 0)
        np.add.at(table, (which, places[which, edge]), 1.0)
        found.append(table)
    return np.concatenate(found, axis=1) if found else one_hot(space.decisions, rows)


def paths(space: Space, rows: Rows) -> Encoded:
    """1 for each sequence of operations on a way from an input to the output (White et al., AAAI 2021,
    arXiv:1910.11858, "path encoding"); short ones first, and no more than `MOST_PATHS`.
    """
    found = [_paths_of(graphs) for graphs in space.graphs(rows).values()]
    return np.concatenate(found, axis=1) if found else one_hot(space.decisions, rows)


def _paths_of(graphs: Graphs) -> Encoded:
    n, n_kinds = len(graphs), len(graphs.kinds)
    digit = np.full(len(graphs.ops) + 1, -1)
    digit[list(graphs.kinds)] = np.arange(n_kinds)
    n_lengths = 1
    while sum(n_kinds**i for i in range(1, n_lengths + 2)) <= MOST_PATHS and n_lengths < graphs.n_nodes - 1:
        n_lengths += 1
    starts = np.cumsum([0, *(n_kinds**i for i in range(1, n_lengths + 1))])
    table = np.zeros((n, int(starts[-1])), dtype=np.float32)
    places = np.arange(n)
    # what is at a node: codes of the sequences that lead there, one column a way of edges
    ways: list[tuple[int, int, NDArray[np.int64], NDArray[np.bool_]]] = [
        (node, 0, np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)) for node in graphs.inputs
    ]
    for i, target in enumerate(graphs.target):
        op, source = graphs.op[:, i], graphs.source[:, i]
        is_link = graphs.length[:, i] == 0
        for node, length, code, holds in list(ways):
            on = holds & (op >= 0) & (source == node)
            for link in (False, True):
                part = on & (is_link == link)
                longer = length + (not link)
                if part.any() and longer <= n_lengths:
                    ways.append((int(target), longer, code if link else code * n_kinds + digit[op], part))
    for node, length, code, holds in ways:
        if node == graphs.output and length:
            table[places[holds], starts[length - 1] + code[holds]] = 1.0
    return table


def graph_features(space: Space, rows: Rows) -> Encoded:
    """Figures of cells as graphs, after GRAF (Kadlecová et al., NeurIPS 2024, arXiv:2408.16591).

    Counts of operations among all and among live edges; for sets of operations the shortest and the longest way that
    uses no others, and how many edges leave the inputs and enter the output. Of decisions that are in no cell: how many
    of those with the same values have each of them, numbers among them as their mean, and the one-hot encoding.
    """
    cells = space.graphs(rows)
    if not cells:
        return np.concatenate([_decision_counts(space, rows), one_hot(space.decisions, rows)], axis=1)
    found = [column for graphs in cells.values() for column in _figures(graphs)]
    return np.concatenate(found, axis=1).astype(np.float32)


def _figures(graphs: Graphs) -> Iterator[NDArray[np.float64]]:
    yield graphs.counts(graphs.carries())
    yield graphs.counts(graphs.live)
    yield graphs.live.sum(axis=1, keepdims=True).astype(np.float64)
    for subset in _subsets(graphs.kinds):
        leaving, entering = graphs.degrees(subset)
        yield np.stack([graphs.shortest(subset), graphs.longest(subset), leaving, entering], axis=1)


def _subsets(kinds: Sequence[int]) -> list[tuple[int, ...]]:
    """Sets of operations, small ones first."""
    every = [chosen for size in range(1, len(kinds) + 1) for chosen in combinations(kinds, size)]
    if len(every) <= MOST_SUBSETS:
        return every
    return [chosen for chosen in every if len(chosen) in (1, 2, len(kinds) - 1, len(kinds))]


def _decision_counts(space: Space, rows: Rows) -> Encoded:
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, decision in enumerate(space.decisions):
        groups.setdefault((decision.kind, decision.values), []).append(i)
    scaled = ordinal(space.decisions, rows)
    found = []
    for (kind, values), columns in groups.items():
        if len(columns) < 2:
            continue
        part = rows[:, columns]
        found += [(part == i).sum(axis=1) for i in range(len(values))]  # type: ignore[arg-type]
        if kind in ("number", "repeat"):
            active = part >= 0
            total = np.where(active, scaled[:, columns], 0.0).sum(axis=1)
            found.append(total / np.maximum(active.sum(axis=1), 1))
    return np.stack(found, axis=1).astype(np.float32) if found else np.empty((len(rows), 0), dtype=np.float32)


ENCODINGS: dict[str, Callable[[Space, Rows], Encoded]] = {
    "one-hot": lambda space, rows: one_hot(space.decisions, rows),
    "adjacency": adjacency,
    "path": paths,
    "graph": graph_features,
}
"""Every encoding by its name."""
