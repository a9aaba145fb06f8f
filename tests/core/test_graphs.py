"""Graph figures of cells against the enumeration of all their ways, one cell at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from archwright.core.errors import SpaceError
from archwright.core.graphs import Graphs
from archwright.spaces import NasBench201


def ways(graphs: Graphs, i: int, allowed: Sequence[int] | None = None) -> Iterator[list[int]]:
    """Edges of every way of cell i from an input to the output."""

    def on(node: int, so_far: list[int]) -> Iterator[list[int]]:
        if node == graphs.output:
            yield so_far
            return
        for edge, target in enumerate(graphs.target.tolist()):
            op = int(graphs.op[i, edge])
            if graphs.source[i, edge] == node and op >= 0 and (allowed is None or op in (*allowed, *graphs.links)):
                yield from on(target, [*so_far, edge])

    for node in graphs.inputs:
        yield from on(node, [])


def length(graphs: Graphs, i: int, way: Sequence[int]) -> int:
    return sum(int(graphs.op[i, edge]) not in graphs.links for edge in way)


def cells(n: int) -> Graphs:
    """Cells of NAS-Bench-201."""
    space = NasBench201()
    rows = space.decisions.sample(n, np.random.default_rng(0))
    return space.graphs(rows)["cell"]


def wired(n: int) -> Graphs:
    """Random cells of two inputs whose nodes choose what they read, all linked to the output."""
    rng = np.random.default_rng(1)
    target = np.array([2, 2, 3, 3, 4, 4, 5, 5, 5])
    source = np.stack([*(rng.integers(0, node, size=n) for node in target[:6]), *(np.full(n, i) for i in (2, 3, 4))], 1)
    op = np.concatenate([rng.integers(-1, 3, size=(n, 6)), np.full((n, 3), 3)], axis=1)
    return Graphs(("conv", "pool", "skip", "link"), op, source, target, (0, 1), 5, links=(3,))


@pytest.mark.parametrize("graphs", [cells(60), wired(60)], ids=["fixed", "wired"])
@pytest.mark.parametrize("allowed", [None, (0,), (1, 2)])
def test_longest_and_shortest_ways(graphs: Graphs, allowed: tuple[int, ...] | None) -> None:
    lengths = [[length(graphs, i, way) for way in ways(graphs, i, allowed)] for i in range(len(graphs))]
    assert graphs.longest(allowed).tolist() == [max(found, default=-1) for found in lengths]
    assert graphs.shortest(allowed).tolist() == [min(found, default=graphs.n_nodes + 1) for found in lengths]


@pytest.mark.parametrize("graphs", [cells(60), wired(60)], ids=["fixed", "wired"])
def test_live_edges_are_those_of_some_way(graphs: Graphs) -> None:
    for i in range(len(graphs)):
        used = {edge for way in ways(graphs, i) for edge in way}
        assert set(np.flatnonzero(graphs.live[i]).tolist()) == used


def test_counts_and_degrees_by_hand() -> None:
    """|conv~0|+|conv~0|pool~1|+|skip~0|conv~1|skip~2|, the example of the benchmark's README."""
    space = NasBench201()
    code = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    graphs = space.graphs(space.parse_rows([code]))["cell"]
    assert graphs.ops == ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert graphs.counts(graphs.carries()).tolist() == [[2, 0, 3, 1]]
    assert [degrees.tolist() for degrees in graphs.degrees()] == [[3], [3]]
    assert [degrees.tolist() for degrees in graphs.degrees((2,))] == [[2], [1]]


def test_dead_edges_do_not_live() -> None:
    """Into a node that nothing reads, and out of one that gets nothing."""
    space = NasBench201()
    code = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    graphs = space.graphs(space.parse_rows([code]))["cell"]
    assert graphs.live[0].tolist() == [False, False, False, True, False, False]


def test_edges_out_of_order_are_refused() -> None:
    one = np.zeros((1, 2), dtype=np.int64)
    with pytest.raises(SpaceError, match="come in the order of targets"):
        Graphs(("a",), one, one, np.array([2, 1]), (0,), 2)
    with pytest.raises(SpaceError, match="sources"):
        Graphs(("a",), one, one[:, :1], np.array([1, 2]), (0,), 2)
