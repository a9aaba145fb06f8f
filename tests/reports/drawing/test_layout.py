"""Boxes do not overlap, arrows lead forward and around them, everything lies on the sheet."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwright.core.drawing import Edge, Graph, Node
from archwright.reports.drawing.layout import Box, Layout, Link, lay_out, nearest_increasing

NODE, OPERATION = (30.0, 25.0), (100.0, 25.0)


def laid_out(graph: Graph) -> Layout:
    operations = {i: OPERATION for i, edge in enumerate(graph.edges) if edge.label}
    return lay_out(graph, {node.id: NODE for node in graph.nodes}, operations)


def boxes(layout: Layout) -> list[Box]:
    return [*layout.nodes.values(), *layout.operations.values()]


def overlap(one: Box, other: Box, least: float = 0.0) -> bool:
    """Whether two boxes come nearer than `least` both ways."""
    apart_x = max(one.x, other.x) - min(one.x + one.width, other.x + other.width)
    apart_y = max(one.y, other.y) - min(one.y + one.height, other.y + other.height)
    return apart_x < least - 1e-6 and apart_y < least - 1e-6


def points(link: Link, is_down: bool, n: int = 21) -> list[tuple[float, float]]:
    """Along the curve that is drawn: a cubic whose ends run along the layers."""
    (x0, y0), (x1, y1) = link.start, link.end
    middle = (y0 + y1) / 2 if is_down else (x0 + x1) / 2
    (bx, by), (cx, cy) = ((x0, middle), (x1, middle)) if is_down else ((middle, y0), (middle, y1))
    found = []
    for i in range(n):
        t = i / (n - 1)
        w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        found.append(
            (
                sum(a * b for a, b in zip(w, (x0, bx, cx, x1), strict=True)),
                w[0] * y0 + w[1] * by + w[2] * cy + w[3] * y1,
            )
        )
    return found


def test_boxes_do_not_overlap(graph: Graph) -> None:
    """Any two are at least ten pixels apart."""
    assert not any(overlap(*pair, least=10.0) for pair in itertools.combinations(boxes(laid_out(graph)), 2))


def test_boxes_keep_their_size(graph: Graph) -> None:
    """Whatever the direction."""
    layout = laid_out(graph)
    assert {(box.width, box.height) for box in layout.nodes.values()} == {NODE}
    assert {(box.width, box.height) for box in layout.operations.values()} <= {OPERATION}


def test_everything_lies_on_the_sheet(graph: Graph) -> None:
    """Boxes and arrows."""
    layout = laid_out(graph)
    corners = [(box.x, box.y) for box in boxes(layout)]
    corners += [(box.x + box.width, box.y + box.height) for box in boxes(layout)]
    corners += [end for link in layout.links for end in (link.start, link.end)]
    assert all(-1e-6 <= x <= layout.width + 1e-6 and -1e-6 <= y <= layout.height + 1e-6 for x, y in corners)


def test_edges_go_forward(graph: Graph) -> None:
    """Source, operation and target come one behind the other, and so does each piece of an arrow."""
    layout = laid_out(graph)
    axis = 1 if graph.direction == "down" else 0

    def ends(box: Box) -> tuple[float, float]:
        return (box.y, box.y + box.height) if axis else (box.x, box.x + box.width)

    for i, edge in enumerate(graph.edges):
        stops = [layout.nodes[edge.source], *filter(None, [layout.operations.get(i)]), layout.nodes[edge.target]]
        assert all(ends(before)[1] < ends(after)[0] for before, after in itertools.pairwise(stops))
    assert all(link.start[axis] <= link.end[axis] for link in layout.links)


def test_no_arrow_crosses_a_box(graph: Graph) -> None:
    """No point of a curve lies inside a box."""
    layout = laid_out(graph)
    for link, box in itertools.product(layout.links, boxes(layout)):
        inside = [
            box.x + 0.1 < x < box.x + box.width - 0.1 and box.y + 0.1 < y < box.y + box.height - 0.1
            for x, y in points(link, graph.direction == "down")
        ]
        assert not any(inside)


def test_every_edge_is_joined_from_end_to_end(graph: Graph) -> None:
    """The pieces of an edge lead from the border of its source's box to a head at that of its target's."""
    layout = laid_out(graph)
    for i, edge in enumerate(graph.edges):
        pieces = [link for link in layout.links if i in link.edges]
        assert any(touches(layout.nodes[edge.source], link.start) for link in pieces)
        assert any(touches(layout.nodes[edge.target], link.end) for link in pieces if link.has_head)
        joints = {link.start for link in pieces}
        loose = [link for link in pieces if not link.has_head and link.end not in joints]
        assert loose == []


def touches(box: Box, point: tuple[float, float]) -> bool:
    """Whether a point lies in a box or on its border."""
    (x, y), slack = point, 1e-6
    return -slack <= x - box.x <= box.width + slack and -slack <= y - box.y <= box.height + slack


def test_parallel_edges_are_told_apart(graphs: Mapping[str, Graph]) -> None:
    """Two plain ones and two operations between the same nodes arrive with four heads, on four ways."""
    layout = laid_out(graphs["parallel"])
    assert len(layout.operations) == 2
    target = layout.nodes["b"]
    heads = [link for link in layout.links if link.has_head and touches(target, link.end)]
    assert len(heads) == 4
    assert len({link.start for link in heads}) == 4


def test_operations_stand_right_before_their_target(graphs: Mapping[str, Graph]) -> None:
    """The last node of the searched DARTS cell has its five operations in one column."""
    layout = laid_out(graphs["all edges"])
    last = [layout.operations[i] for i in range(9, 14)]
    assert len({box.x for box in last}) == 1


def test_the_benchmarks_cell_has_no_crossing() -> None:
    """Four nodes, six edges: planar, and drawn so."""
    edges = tuple(Edge(str(i), str(j), "op") for j in range(4) for i in range(j))
    layout = laid_out(Graph(tuple(Node(str(i)) for i in range(4)), edges))
    curves = [np.array(points(link, False)) for link in layout.links]
    for one, other in itertools.combinations(curves, 2):
        if np.allclose(one[[0, -1], 0], other[[0, -1], 0]):  # between the same layers
            gaps = one[:, 1] - other[:, 1]
            assert (gaps >= -1e-6).all() or (gaps <= 1e-6).all()


def test_the_same_graph_gives_the_same_layout(graph: Graph) -> None:
    """Down to the last digit."""
    assert laid_out(graph) == laid_out(graph)


def test_a_graph_without_nodes_takes_no_room() -> None:
    """Nothing to draw is no error."""
    assert laid_out(Graph((), ())) == Layout(0.0, 0.0, {}, {}, [])


@given(st.lists(st.floats(-1e3, 1e3), max_size=8))
def test_nearest_increasing_is_monotone_and_keeps_the_mean(values: list[float]) -> None:
    """What pooling adjacent violators promises."""
    found = nearest_increasing(values)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(found))
    assert sum(found) == pytest.approx(sum(values), abs=1e-6)


def test_nearest_increasing_against_a_search() -> None:
    """No monotone numbers on a grid are nearer."""
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    grid = itertools.combinations_with_replacement(np.arange(0, 6, 0.5), 5)
    best = min(sum((a - b) ** 2 for a, b in zip(values, other, strict=True)) for other in grid)
    assert sum((a - b) ** 2 for a, b in zip(values, nearest_increasing(values), strict=True)) == pytest.approx(best)
