"""Layered layout of a directed graph: positions of its boxes and paths of its arrows.

The method is that of Sugiyama et al. (1981): each box gets a layer, long arrows get a place in every layer they pass,
the order within layers is improved by barycentres, then coordinates are fitted. An operation is in the layer before the
state it leads to, as in the papers' drawings of cells. No arrow crosses a box: arrows bend only between layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from archwright.core.drawing import Graph, topological_order
from archwright.reports.drawing.ordering import fewest_crossings

BOX_GAP, LINE_GAP, LAYER_GAP, MAX_LAYER_GAP = 14.0, 9.0, 26.0, 64.0
_SWEEPS = 48


@dataclass(frozen=True)
class Box:
    """A rectangle.

    Attributes:
        x: Position of its left side.
        y: Position of its upper side.
        width: Its width.
        height: Its height.
    """

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Link:
    """A piece of an arrow between two layers, or through one.

    Attributes:
        start: Point (x, y) where it begins.
        end: Point (x, y) where it ends; at both points it runs in the direction of the layers.
        has_head: Whether it ends at a box, with an arrow head.
        edges: Positions of the edges to which it belongs.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    has_head: bool = False
    edges: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Layout:
    """Boxes and arrows inside (0, 0) to (width, height).

    Attributes:
        width: Width of the whole.
        height: Height of the whole.
        nodes: Box of each node by id.
        operations: Box of each edge that has a label, by the edge's position.
        links: All arrows.
    """

    width: float
    height: float
    nodes: dict[str, Box]
    operations: dict[int, Box]
    links: list[Link]


Extent = tuple[float, float]
"""(width, height) of a box."""


def lay_out(graph: Graph, nodes: Mapping[str, Extent], operations: Mapping[int, Extent]) -> Layout:
    """Positions for the boxes and arrows of a graph.

    Args:
        graph: The graph.
        nodes: Size of each node's box by id.
        operations: Size of the box of each edge that has one, by the edge's position.
    """
    is_down = graph.direction == "down"
    draft = _Draft()
    for node in graph.nodes:
        draft.add(node.id, _turned(nodes[node.id], is_down))
    for number, edge in enumerate(graph.edges):
        draft.connect(number, edge.source, edge.target, number in operations, _turned(operations.get(number), is_down))
    draft.set_layers()
    draft.split_long_links()
    draft.layers = fewest_crossings(draft.layers, [vertex.below for vertex in draft.vertices])
    draft.place()
    layout = draft.layout()
    return layout if is_down else _transposed(layout)


def _turned(extent: Extent | None, is_down: bool) -> Extent:
    width, height = extent or (0.0, 0.0)
    return (width, height) if is_down else (height, width)


@dataclass
class _Vertex:
    """A box or a place that a long arrow passes; `across` its layer, `along` the direction of the layers."""

    across: float
    along: float
    key: str | int | None = None
    layer: int = 0
    at: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)

    @property
    def is_box(self) -> bool:
        return self.key is not None


class _Draft:
    """The graph while it is laid out, as if it went down."""

    def __init__(self) -> None:
        self.vertices: list[_Vertex] = []
        self.names: dict[str, int] = {}
        self.links: list[tuple[int, int, int]] = []  # source, target, number of the edge
        self.fixed: list[int] = []  # operations and middles of parallel arrows: they stand right before their target
        self.layers: list[list[int]] = []
        self.tops: list[float] = []
        self.pieces: defaultdict[tuple[int, int], set[int]] = defaultdict(set)  # neighbours: numbers of their edges

    def add(self, name: str, extent: Extent) -> None:
        self.names[name] = self._vertex(*extent, key=name)

    def connect(self, number: int, source: str, target: str, has_box: bool, extent: Extent) -> None:
        """An edge; one with a box, or beside another plain one, has a vertex in the middle."""
        first, last = self.names[source], self.names[target]
        if has_box or any((u, v) == (first, last) for u, v, _ in self.links):
            middle = self._vertex(*extent, key=number if has_box else None)
            self.fixed.append(middle)
            self.links += [(first, middle, number), (middle, last, number)]
        else:
            self.links.append((first, last, number))

    def _vertex(self, across: float, along: float, key: str | int | None = None, layer: int = 0) -> int:
        self.vertices.append(_Vertex(across, along, key, layer))
        return len(self.vertices) - 1

    # ── layers ────────────────────────────────────────────────────────────────────────────────────

    def set_layers(self) -> None:
        """As early as what leads there allows; operations as late as where they lead."""
        into = defaultdict(list)
        for u, v, _ in self.links:
            into[v].append(u)
        for v in topological_order(range(len(self.vertices)), [(u, v) for u, v, _ in self.links]):
            self.vertices[v].layer = max((self.vertices[u].layer + 1 for u in into[v]), default=0)
        for u, v, _ in self.links:
            if u in self.fixed:
                self.vertices[u].layer = self.vertices[v].layer - 1

    def split_long_links(self) -> None:
        """Every link now joins neighbouring layers; long ones with one source share their way as far as they can."""
        ways: dict[tuple[int, int], int] = {}
        for u, v, number in self.links:
            before = u
            for layer in range(self.vertices[u].layer + 1, self.vertices[v].layer):
                if (u, layer) not in ways:
                    ways[u, layer] = self._vertex(0.0, 0.0, layer=layer)
                self.pieces[before, ways[u, layer]].add(number)
                before = ways[u, layer]
            self.pieces[before, v].add(number)
        for u, v in self.pieces:
            self.vertices[u].below.append(v)
            self.vertices[v].above.append(u)
        n_layers = max((vertex.layer for vertex in self.vertices), default=-1) + 1
        self.layers = [[] for _ in range(n_layers)]
        for i, vertex in enumerate(self.vertices):
            self.layers[vertex.layer].append(i)

    # ── coordinates ───────────────────────────────────────────────────────────────────────────────

    def place(self) -> None:
        """Each vertex as near to the middle of its neighbours as its layer's order and gaps allow."""
        for layer in self.layers:
            self._fit(layer, [0.0] * len(layer))
        for sweep in range(_SWEEPS):
            is_last = sweep >= _SWEEPS // 2
            for layer in self.layers if sweep % 2 == 0 else self.layers[::-1]:
                self._fit(layer, [self._middle(v, sweep % 2 == 0, is_last) for v in layer])
        left = min((vertex.at - vertex.across / 2 for vertex in self.vertices), default=0.0)
        for vertex in self.vertices:
            vertex.at -= left
        self._set_tops()

    def _middle(self, v: int, by_above: bool, by_both: bool) -> float:
        """The mean place of the neighbours; those on a long arrow count more, so that it runs straight."""
        vertex = self.vertices[v]
        around = vertex.above + vertex.below if by_both else vertex.above if by_above else vertex.below
        pulls = [(self.vertices[u].at, self._pull(vertex, self.vertices[u])) for u in around]
        total = sum(pull for _, pull in pulls)
        return sum(at * pull for at, pull in pulls) / total if total else vertex.at

    @staticmethod
    def _pull(one: _Vertex, other: _Vertex) -> float:
        return (1.0, 2.0, 8.0)[(not one.is_box) + (not other.is_box)]

    def _fit(self, layer: Sequence[int], wishes: Sequence[float]) -> None:
        offsets = [0.0]
        for left, right in pairwise(layer):
            offsets.append(offsets[-1] + self._distance(self.vertices[left], self.vertices[right]))
        fitted = nearest_increasing([wish - offset for wish, offset in zip(wishes, offsets, strict=True)])
        for v, place, offset in zip(layer, fitted, offsets, strict=True):
            self.vertices[v].at = place + offset

    @staticmethod
    def _distance(left: _Vertex, right: _Vertex) -> float:
        gap = BOX_GAP if left.is_box and right.is_box else LINE_GAP
        return (left.across + right.across) / 2 + gap

    def _set_tops(self) -> None:
        """Layers one below the other, further apart where arrows go far to the side."""
        top = 0.0
        for layer in self.layers:
            self.tops.append(top)
            shifts = [abs(self.vertices[u].at - self.vertices[v].at) for u in layer for v in self.vertices[u].below]
            gap = min(LAYER_GAP + 0.12 * max(shifts, default=0.0), MAX_LAYER_GAP)
            top += self._thickness(layer) + gap
        self.tops.append(top)

    def _thickness(self, layer: Sequence[int]) -> float:
        return max((self.vertices[v].along for v in layer), default=0.0)

    # ── result ────────────────────────────────────────────────────────────────────────────────────

    def layout(self) -> Layout:
        nodes: dict[str, Box] = {}
        operations: dict[int, Box] = {}
        links: list[Link] = []
        carried = {v: frozenset(numbers) for (_, v), numbers in self.pieces.items()}
        for v, vertex in enumerate(self.vertices):
            box = Box(vertex.at - vertex.across / 2, self._top(vertex), vertex.across, vertex.along)
            if isinstance(vertex.key, str):
                nodes[vertex.key] = box
            elif vertex.key is not None:
                operations[vertex.key] = box
            else:  # straight through the layer
                top = self.tops[vertex.layer]
                bottom = top + self._thickness(self.layers[vertex.layer])
                links.append(Link((vertex.at, top), (vertex.at, bottom), edges=carried[v]))
        for (u, v), numbers in self.pieces.items():
            links += self._piece(self.vertices[u], self.vertices[v], frozenset(numbers))
        bottom = self.tops[-2] + self._thickness(self.layers[-1]) if self.layers else 0.0
        return Layout(max((v.at + v.across / 2 for v in self.vertices), default=0.0), bottom, nodes, operations, links)

    def _top(self, vertex: _Vertex) -> float:
        """Boxes stand in the middle of their layer."""
        return self.tops[vertex.layer] + (self._thickness(self.layers[vertex.layer]) - vertex.along) / 2

    def _piece(self, source: _Vertex, target: _Vertex, edges: frozenset[int]) -> list[Link]:
        """Straight to the layer's border, bent to the next layer, straight to the box."""
        border = self.tops[source.layer] + self._thickness(self.layers[source.layer])
        start, end = (source.at, border), (target.at, self.tops[target.layer])
        found = [Link(start, end, edges=edges)]
        if source.is_box and (bottom := self._top(source) + source.along) < border:
            found.insert(0, Link((source.at, bottom), start, edges=edges))
        if target.is_box:
            found[-1] = replace(found[-1], has_head=(top := self._top(target)) == end[1])
            if top > end[1]:
                found.append(Link(end, (target.at, top), has_head=True, edges=edges))
        return found


def nearest_increasing(values: Sequence[float]) -> list[float]:
    """The non-decreasing numbers with the least sum of squared differences from these (pool adjacent violators).

    >>> nearest_increasing([1.0, 4.0, 2.0, 6.0])
    [1.0, 3.0, 3.0, 6.0]
    """
    groups: list[tuple[float, int]] = []
    for value in values:
        total, n = value, 1
        while groups and groups[-1][0] / groups[-1][1] > total / n:
            before, m = groups.pop()
            total, n = total + before, n + m
        groups.append((total, n))
    return [total / n for total, n in groups for _ in range(n)]


def _transposed(layout: Layout) -> Layout:
    def box(one: Box) -> Box:
        return Box(one.y, one.x, one.height, one.width)

    links = [replace(link, start=link.start[::-1], end=link.end[::-1]) for link in layout.links]
    nodes = {key: box(one) for key, one in layout.nodes.items()}
    operations = {number: box(one) for number, one in layout.operations.items()}
    return Layout(layout.height, layout.width, nodes, operations, links)
