"""A graph as a picture: states as rounded boxes, operations as coloured ones, arrows between."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from archwright.core.drawing import Edge, Graph, Kind, Node, kernel_in, kind_of
from archwright.reports.drawing.canvas import (
    Panel,
    box_class,
    fitted,
    group,
    number,
    path,
    plain,
    rectangle,
    text_width,
    words,
)
from archwright.reports.drawing.layout import Box, Extent, Link, lay_out

TEXT_SIZE = 12.0
MAX_TEXT_WIDTH = 150.0
_HEIGHT, _MARGIN, _HEAD = 25.0, 9.0, 6.0
_ROUND: tuple[Kind, ...] = ("state", "input", "output")


def graph_panel(graph: Graph) -> Panel:
    """The picture of a graph, laid out in layers."""
    boxed = {i: edge for i, edge in enumerate(graph.edges) if edge.label}
    layout = lay_out(
        graph,
        {node.id: _extent(node.label, node.kind) for node in graph.nodes},
        {i: _extent(edge.label, _kind(edge)) for i, edge in boxed.items()},
    )
    absent = {i for i, edge in boxed.items() if _kind(edge) == "none"}
    parts = [*_arrows(layout.links, absent, graph.direction == "down")]
    parts += [_operation(edge, layout.operations[i], graph) for i, edge in boxed.items()]
    parts += [_node(node, layout.nodes[node.id]) for node in graph.nodes]
    return Panel(plain(graph.title), layout.width, layout.height, parts)


def _kind(edge: Edge) -> Kind:
    return edge.kind or kind_of(edge.label)


def _extent(label: str, kind: Kind) -> Extent:
    width = min(text_width(plain(label), TEXT_SIZE), MAX_TEXT_WIDTH) + 2 * _MARGIN
    return (max(width, _HEIGHT), _HEIGHT) if kind in _ROUND else (max(width, 2 * _HEIGHT), _HEIGHT)


def _node(node: Node, box: Box) -> Markup:
    if node.kind in _ROUND:
        return _labelled(f"aw-{node.kind}", node.label, box, node.note, radius=_HEIGHT / 2)
    return _labelled(box_class(node.kind, kernel_in(node.label)), node.label, box, node.note)


def _operation(edge: Edge, box: Box, graph: Graph) -> Markup:
    names = {node.id: node.label or node.id for node in graph.nodes}
    note = edge.note or f"{edge.label}: from {names[edge.source]} to {names[edge.target]}"
    return _labelled(box_class(_kind(edge), kernel_in(edge.label)), edge.label, box, note)


def _labelled(css: str, label: str, box: Box, note: str, radius: float = 4.0) -> Markup:
    label = plain(label)
    shown = fitted(label, MAX_TEXT_WIDTH, TEXT_SIZE)
    middle = (box.x + box.width / 2, box.y + box.height / 2 + 0.35 * TEXT_SIZE)
    return group(
        [rectangle(css, box.x, box.y, box.width, box.height, radius), words(*middle, shown, TEXT_SIZE)],
        note=note or (label if shown != label else ""),
    )


def _arrows(links: Iterable[Link], absent: set[int], is_down: bool) -> list[Markup]:
    """All lines in one path, those of absent operations dashed; heads apart, because they are filled."""
    links = list(links)
    solid = [_curve(link, is_down) for link in links if not link.edges <= absent]
    dashed = [_curve(link, is_down) for link in links if link.edges <= absent]
    heads = [_head(link.end, is_down) for link in links if link.has_head]
    return [path("aw-line", solid), path("aw-dash", dashed), path("aw-head", heads)]


def _curve(link: Link, is_down: bool) -> str:
    (x0, y0), (x1, y1) = link.start, link.end
    if link.has_head:  # the line ends inside the head, not at its tip
        x1, y1 = (x1, y1 - _HEAD / 2) if is_down else (x1 - _HEAD / 2, y1)
    start = f"M{number(x0)} {number(y0)}"
    if abs(x1 - x0) < 0.05 or abs(y1 - y0) < 0.05:
        return f"{start}L{number(x1)} {number(y1)}"
    middle = (y0 + y1) / 2 if is_down else (x0 + x1) / 2
    bends = (x0, middle, x1, middle) if is_down else (middle, y0, middle, y1)
    return f"{start}C{' '.join(map(number, bends))} {number(x1)} {number(y1)}"


def _head(tip: tuple[float, float], is_down: bool) -> str:
    start = f"M{number(tip[0])} {number(tip[1])}"
    return f"{start}l-3.5-{number(_HEAD)}h7z" if is_down else f"{start}l-{number(_HEAD)}-3.5v7z"
