"""Cells as published systems have them, to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from archwright.core.drawing import Block, Edge, Graph, Node, Strip, readable

Operations = Sequence[tuple[str, int, int]]
"""(operation, source, target); 0 and 1 are the two cells before."""

DARTS_V2_NORMAL: Operations = (
    *(("sep_conv_3x3", source, target) for target in (2, 3) for source in (0, 1)),
    *(("sep_conv_3x3", 1, 4), ("skip_connect", 0, 4), ("skip_connect", 0, 5), ("dil_conv_3x3", 2, 5)),
)
NASNET_A_NORMAL: Operations = (
    *(("sep_conv_5x5", 1, 2), ("sep_conv_3x3", 0, 2), ("sep_conv_5x5", 0, 3), ("sep_conv_3x3", 0, 3)),
    *(("avg_pool_3x3", 1, 4), ("identity", 0, 4), ("avg_pool_3x3", 0, 5), ("avg_pool_3x3", 0, 5)),
    *(("sep_conv_3x3", 1, 6), ("identity", 1, 6)),
)
"""One pool stands twice on the same edge."""

ALL_EDGES: Operations = tuple(("sep_conv_3x3", source, target) for target in range(2, 6) for source in range(target))
"""The searched DARTS cell: 7 nodes, 14 operations."""


def cell(operations: Operations, joined: Sequence[int], direction: str = "right") -> Graph:
    last = max(target for _, _, target in operations)
    nodes = [Node("0", "c(k-2)", "input"), Node("1", "c(k-1)", "input")]
    nodes += [Node(str(i), str(i)) for i in range(2, last + 1)] + [Node("out", "c(k)", "output")]
    edges = [Edge(str(source), str(target), readable(op)) for op, source, target in operations]
    edges += [Edge(str(i), "out") for i in joined]
    return Graph(tuple(nodes), tuple(edges), "cell", direction)  # type: ignore[arg-type]


def ladder(n: int) -> Graph:
    """A chain of operations in which each also reads every third before, as in ENAS macro."""
    nodes = [Node(str(i), "conv 3×3", "conv") for i in range(n)]
    edges = [Edge(str(i), str(i + 1)) for i in range(n - 1)]
    edges += [Edge(str(i), str(j)) for j in range(n) for i in range(j % 3, j - 1, 3)]
    return Graph(tuple(nodes), tuple(edges), direction="down")


GRAPHS: dict[str, Graph] = {
    "darts": cell(DARTS_V2_NORMAL, (2, 3, 4, 5)),
    "darts down": cell(DARTS_V2_NORMAL, (2, 3, 4, 5), "down"),
    "nasnet": cell(NASNET_A_NORMAL, (0, 2, 3, 4, 5, 6)),
    "all edges": cell(ALL_EDGES, (2, 3, 4, 5)),
    "ladder": ladder(12),
    "parallel": Graph(
        (Node("a"), Node("b")), (Edge("a", "b"), Edge("a", "b"), Edge("a", "b", "x"), Edge("a", "b", "x"))
    ),
    "apart": Graph((Node("a"), Node("b", "unread"), Node("c")), (Edge("a", "c"),)),
    "one": Graph((Node("a"),), ()),
    "wide": Graph((Node("a", "x" * 500), Node("b", "工" * 80, "conv")), (Edge("a", "b", "W" * 300),)),
}


@pytest.fixture(params=GRAPHS.values(), ids=GRAPHS.keys())
def graph(request: pytest.FixtureRequest) -> Graph:
    """Each of the graphs above."""
    found: Graph = request.param
    return found


@pytest.fixture
def graphs() -> Mapping[str, Graph]:
    """All of them by name."""
    return GRAPHS


@pytest.fixture
def chain() -> Callable[[int], Strip]:
    """A chain like those of mobile networks: the image halves and the channels double every fourth block."""

    def make(n: int) -> Strip:
        blocks = [
            Block(
                "mbconv",
                "depthwise",
                (f"{3 + 2 * (i % 3)}×{3 + 2 * (i % 3)}", "expand 6"),
                16 * 2 ** (i // 4),
                (max(224 >> (i // 4), 1),) * 2,
                2 if i % 4 == 0 and i else 1,
                3 + 2 * (i % 3),
            )
            for i in range(n)
        ]
        return Strip(tuple(blocks), "network", "3 × 224 × 224")

    return make
