"""The convolutional cells of DARTS (Liu et al., ICLR 2019, arXiv:1806.09055) and of SNAS (Xie et al., ICLR 2019).

Both search the same network: a normal and a reduction cell of four nodes, whose 14 edges each carry one operation.
They differ in what a derived cell keeps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Condition, Decision, DecisionSpace, Rows
from archwright.core.drawing import Drawing
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.core.graphs import Graphs
from archwright.core.relaxation import Relaxation
from archwright.nn.choice import Chooser
from archwright.nn.choice.modules import SummedInputs
from archwright.nn.dropout import check_rate
from archwright.nn.ops import darts as ops
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.two_inputs import TwoInputCell, TwoInputNetwork
from archwright.spaces.arguments import check_image, loss_weight, truth_value, whole_number, whole_number_or_none
from archwright.spaces.base import Space
from archwright.spaces.darts.drawing import cell_graph, skeleton
from archwright.spaces.darts.genotypes import (
    CELLS,
    FIRST_NODE,
    OPS,
    PRIMITIVES,
    Cell,
    Edges,
    checked_edge,
    genotype_text,
    parse_genotype,
    place,
)

FormName = Literal["cifar", "imagenet"]


@dataclass(frozen=True)
class Form:
    """How cells are stacked.

    Attributes:
        channels: Width of the first cells.
        cells: Number of cells, including the reduction cells.
        smallest: Smallest accepted side of an image in pixels.
        halvings: How often the whole network halves the image.
        auxiliary_from: Smallest side in pixels of the map after the second reduction cell that an auxiliary head can
            read.
    """

    channels: int
    cells: int
    smallest: int
    halvings: int
    auxiliary_from: int


FORMS: dict[FormName, Form] = {"cifar": Form(36, 20, 8, 2, 8), "imagenet": Form(48, 14, 64, 5, 7)}
SEARCH_CHANNELS, SEARCH_CELLS = 16, 8
MIN_CELLS = 3
"""Fewest cells; with fewer the network would lack a normal or a reduction cell."""

MAX_NODES = 8
"""Most nodes of a cell; its states are then 0 to 9, one digit each in the names of edges."""


class DartsCells(Space):
    """Base of `Darts` and `Snas`: networks of normal and reduction cells.

    A cell has two inputs, the outputs of the two cells before, and four nodes, each the sum of edges from earlier
    states; its output joins the nodes. Cells at one and at two thirds of the depth are reduction cells: they halve the
    image and double the width. All cells of a kind are the same.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        form: "cifar" begins with one 3x3 convolution, "imagenet" with three of stride 2. By default "imagenet" for
            images of at least 64 pixels a side, which it needs, else "cifar".
        channels: Width of the first cells; by default 36 ("cifar") or 48 ("imagenet"), as the papers retrain.
        cells: How many cells, at least 3; by default 20 ("cifar") or 14 ("imagenet").
        nodes: Nodes of a cell, 1 to 8; the papers have 4.
        affine: Whether batch norms in cells scale and shift. If False, batch norms also follow the poolings.
        drop_path: Rate, at the end of training, at which an operation's result is dropped for an example; the rate
            rises from 0 with the steps (the released code raises it with the epochs). The papers retrain with 0.2 on
            CIFAR-10.
        auxiliary: Weight of the loss of a second classifier after the second reduction cell, which takes part in
            training only; 0.4 in the papers, 0 for none. Images below 29 pixels a side (193 in the ImageNet form)
            leave too small a map for it, so they get none.
        search_channels: Width of the network that is searched; by default `channels` where that is given, else 16.
        search_cells: Its cells; by default `cells` where that is given, else 8.
        search_partial: Edges of the network that is searched work on one channel of so many and pass the others on, as
            in PC-DARTS (Xu et al., ICLR 2020, arXiv:1907.05737, Sec. 3.2), which takes 4.
        partial: The same of this network; 1 for every network that is trained on its own.
    """

    operations: ClassVar[tuple[str, ...]]
    """Operations that an edge of a derived cell can have."""

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        form: FormName | None = None,
        channels: int | None = None,
        cells: int | None = None,
        nodes: int = 4,
        affine: bool = True,
        drop_path: float = 0.0,
        auxiliary: float = 0.0,
        search_channels: int | None = None,
        search_cells: int | None = None,
        search_partial: int = 1,
        partial: int = 1,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image(self.name, self.input_shape, 1)
        if form is not None and form not in get_args(FormName):
            raise InvalidValueError(f"form is {form!r}; choose one of {', '.join(get_args(FormName))}")
        self.form: FormName = form or (
            "imagenet" if min(self.input_shape[1:]) >= FORMS["imagenet"].smallest else "cifar"
        )
        check_image(self.name, self.input_shape, FORMS[self.form].smallest, f" in its form {self.form}")
        # kept as they were given: with another input size the form's own numbers apply
        self._given: dict[str, Any] = {
            "form": form,
            "channels": whole_number_or_none("channels", channels, 10_000, least=2),
            "cells": whole_number_or_none("cells", cells, 1_000, least=MIN_CELLS),
            "search_channels": whole_number_or_none("search_channels", search_channels, 10_000, least=2),
            "search_cells": whole_number_or_none("search_cells", search_cells, 1_000, least=MIN_CELLS),
        }
        self.channels = self._given["channels"] or FORMS[self.form].channels
        self.n_cells = self._given["cells"] or FORMS[self.form].cells
        self.nodes, self.affine = whole_number("nodes", nodes, MAX_NODES), truth_value("affine", affine)
        self.drop_path = check_rate("drop_path", drop_path)
        self.auxiliary = loss_weight("auxiliary", auxiliary)
        self.search_partial = whole_number("search_partial", search_partial, 10_000)
        self.partial = whole_number("partial", partial, 10_000)
        searched = self._given["search_channels"] or self._given["channels"] or SEARCH_CHANNELS
        for name, share, width in (
            ("search_partial", self.search_partial, searched),
            ("partial", self.partial, self.channels),
        ):
            if width % share:
                raise InvalidValueError(f"{name} is {share}, of {width} channels; give a divisor of them")

    def args(self) -> dict[str, Any]:
        return (
            super().args()
            | self._given
            | {name: getattr(self, name) for name in ("nodes", "affine", "drop_path", "auxiliary")}
            | {name: getattr(self, name) for name in ("search_partial", "partial")}
        )

    def input_forms(self) -> list[str]:
        cifar, imagenet = FORMS["cifar"], FORMS["imagenet"]
        return [
            f"{imagenet.smallest} pixels a side and more: form imagenet, {imagenet.cells} cells, halved five times",
            f"{cifar.smallest} to {imagenet.smallest - 1} pixels: form cifar, {cifar.cells} cells, halved twice",
        ]

    def search_form(self) -> Self:
        """The network to search: no affine batch norms, no drop path; 8 cells, 16 channels unless others were given."""
        return self.with_args(
            affine=False,
            drop_path=0.0,
            channels=self._given["search_channels"] or self._given["channels"] or SEARCH_CHANNELS,
            cells=self._given["search_cells"] or self._given["cells"] or SEARCH_CELLS,
            partial=self.search_partial,
        )

    # ── the network ───────────────────────────────────────────────────────────────────────────────

    def network(self, choose: Chooser) -> nn.Module:
        stems = _cifar_stem(self.input_shape[0], 3 * self.channels)
        if self.form == "imagenet":
            stems = _imagenet_stems(self.input_shape[0], self.channels)
        before_last, last = (self.channels,) * 2 if self.form == "imagenet" else (3 * self.channels,) * 2
        # at which cells' inputs the image is half of that before
        width, is_halved, cells = self.channels, self.form == "imagenet", []
        for i in range(self.n_cells):
            kind = "reduce" if i in self.reductions else "normal"
            width *= 2 if kind == "reduce" else 1
            cells.append(self._cell(choose, kind, before_last, last, width, is_halved))
            before_last, last, is_halved = last, self.nodes * width, kind == "reduce"
        head = nn.Sequential(GlobalAvgPool2d(), nn.Linear(last, self.n_classes))
        return TwoInputNetwork(stems, cells, head)

    def build_for_training(self, arch: Mapping[str, Value]) -> nn.Module:
        """The network with its auxiliary head, unless the head's weight is 0 or the map that it reads is too small."""
        network, form = self.build(arch), FORMS[self.form]
        assert isinstance(network, TwoInputNetwork)
        side = min(self.input_shape[1:])
        for _ in range(form.halvings):
            side = -(-side // 2)
        if self.auxiliary and side >= form.auxiliary_from:
            is_cifar, width = self.form == "cifar", self.nodes * 4 * self.channels
            head = ops.AuxiliaryHead(
                width, self.n_classes, weight=self.auxiliary, pool_stride=3 if is_cifar else 2, has_last_norm=is_cifar
            )
            network.add_auxiliary(head, self.reductions[-1])
        return network

    @property
    def node_numbers(self) -> range:
        """Numbers of a cell's nodes; 0 and 1 are its inputs."""
        return range(FIRST_NODE, FIRST_NODE + self.nodes)

    @property
    def reductions(self) -> tuple[int, int]:
        """Numbers of the reduction cells."""
        return self.n_cells // 3, 2 * self.n_cells // 3

    def _cell(
        self, choose: Chooser, kind: str, before_last: int, last: int, width: int, is_halved: bool
    ) -> TwoInputCell:
        reader = ops.factorized_reduce if is_halved else ops.relu_conv_bn
        return TwoInputCell(
            reader(before_last, width, affine=self.affine),
            ops.relu_conv_bn(last, width, affine=self.affine),
            [self._node(choose, kind, node, width) for node in self.node_numbers],
        )

    @abstractmethod
    def _node(self, choose: Chooser, kind: str, node: int, width: int) -> nn.Module:
        """The sum of a node's edges."""

    def _edge(self, choose: Chooser, kind: str, node: int, width: int, source: int) -> nn.Module:
        stride, affine = 2 if kind == "reduce" and source < FIRST_NODE else 1, self.affine
        width //= self.partial
        makers: dict[str, Callable[[], nn.Module]] = {
            "none": partial(ops.none, stride),
            "max_pool_3x3": partial(ops.max_pool, width, stride=stride, affine=affine),
            "avg_pool_3x3": partial(ops.avg_pool, width, stride=stride, affine=affine),
            "skip_connect": partial(ops.skip_connect, width, stride=stride, affine=affine),
            "sep_conv_3x3": partial(ops.sep_conv, width, 3, stride=stride, affine=affine),
            "sep_conv_5x5": partial(ops.sep_conv, width, 5, stride=stride, affine=affine),
            "dil_conv_3x3": partial(ops.dil_conv, width, 3, stride=stride, affine=affine),
            "dil_conv_5x5": partial(ops.dil_conv, width, 5, stride=stride, affine=affine),
        }
        op = choose.op(
            edge_name(kind, source, node), {op: partial(self._dropping, makers[op]) for op in self.operations}
        )
        return op if self.partial == 1 else ops.PartialChannels(op, self.partial, stride=stride)

    def _dropping(self, make: Callable[[], nn.Module]) -> nn.Module:
        return ops.dropping(make(), self.drop_path)

    # ── names of cells ────────────────────────────────────────────────────────────────────────────

    def genotype(self, arch: Mapping[str, Value]) -> dict[str, Cell]:
        """Both cells by kind; the edges of a node are sorted by source, and edges with `none` are left out."""
        self.row(arch)
        return {kind: tuple(self._edges(arch, kind, node) for node in self.node_numbers) for kind in CELLS}

    def code(self, arch: Mapping[str, Value]) -> str:
        """The genotype in the notation of `spaces.darts.genotypes`."""
        return genotype_text(self.genotype(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a genotype, in the short notation or as the released code prints it.

        Raises:
            InvalidArchError: If it is not in this space; the message has the cell and node.
        """
        values: dict[str, Value] = {}
        for kind, cell in parse_genotype(code, self.nodes).items():
            for node, edges in zip(self.node_numbers, cell, strict=True):
                values |= self._values(kind, node, _by_source(kind, node, edges))
        arch = Arch(values)
        self.row(arch)
        return arch

    def _edges(self, arch: Mapping[str, Value], kind: str, node: int) -> Edges:
        """The edges of a node that are not `none`."""
        pairs = ((arch.get(edge_name(kind, source, node), "none"), source) for source in range(node))
        return tuple((str(op), source) for op, source in pairs if op != "none")

    @abstractmethod
    def _values(self, kind: str, node: int, edges: Mapping[int, str]) -> dict[str, Value]:
        """The decisions of a node with these operations by source."""

    def graphs(self, rows: Rows) -> dict[str, Graphs]:
        """Both cells; `none` is no edge, and all nodes lead to the output."""
        kinds = tuple(op for op in self.operations if op != "none")
        number = np.array([*(kinds.index(op) if op != "none" else -1 for op in self.operations), -1])
        edges = [(source, node) for node in self.node_numbers for source in range(node)]
        source, target = np.array(edges).T
        found = {}
        for kind in CELLS:
            columns = [self.decisions.position(edge_name(kind, *edge)) for edge in edges]
            tiled = np.tile(source, (len(rows), 1))
            found[kind] = Graphs.concatenated(kinds, number[rows[:, columns]], tiled, target)
        return found

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """Both cells as the papers draw them, and the network of such cells."""
        cells = self.genotype(arch)
        graphs = [
            cell_graph(title, cells[kind]) for kind, title in (("normal", "normal cell"), ("reduce", "reduction cell"))
        ]
        summary = f"cells {genotype_text(cells)}, and the network of {self.n_cells} such cells"
        return Drawing((*graphs, skeleton(self.input_shape, self._maps(), self.n_classes)), summary)

    def cell_maps(self) -> list[tuple[int, tuple[int, int]]]:
        """Of each cell in order: the width of its operations, and (height, width) of its result."""
        return [(channels // self.nodes, sides) for _, channels, sides in self._maps()[-self.n_cells :]]

    def _maps(self) -> list[tuple[str, int, tuple[int, int]]]:
        """Name, channels and (height, width) of the result of stems and cells."""
        is_cifar = self.form == "cifar"
        sides, width = [self.input_shape[1:]], self.channels
        for _ in range(FORMS[self.form].halvings):
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        found = [("stem", 3 * width if is_cifar else width, sides[-3])]
        if not is_cifar:
            found.insert(0, ("stem", width, sides[-4]))
        for i in range(self.n_cells):
            is_reduction = i in self.reductions
            n_reduced = sum(i >= reduction for reduction in self.reductions)
            name = "reduction cell" if is_reduction else "normal cell"
            found.append((name, self.nodes * width * 2**n_reduced, sides[n_reduced - 3]))
        return [(name, channels, (height, width_)) for name, channels, (height, width_) in found]


@listed(
    "space",
    "darts",
    summary="DARTS: normal and reduction cell of 4 nodes, two inputs a node, 7 operations; 1.08e18 archs",
    source="Liu et al., ICLR 2019, arXiv:1806.09055",
)
class Darts(DartsCells):
    """DARTS: each node keeps two of its inputs, each with one of seven operations: (180 * 7^8)^2 archs.

    The eighth operation, `none`, takes part in the search only; the weights of an edge's other operations then sum to
    less than 1.
    Arguments are those of `DartsCells`.
    """

    operations = OPS

    def declare(self) -> DecisionSpace:
        return DecisionSpace(
            [decision for kind in CELLS for node in self.node_numbers for decision in _node_decisions(kind, node)]
        )

    def relaxation(self) -> Relaxation:
        edges = {
            node_name(kind, node): tuple(edge_name(kind, source, node) for source in range(node))
            for kind in CELLS
            for node in self.node_numbers
        }
        return Relaxation(edges, frozenset(name for names in edges.values() for name in names))

    def _node(self, choose: Chooser, kind: str, node: int, width: int) -> nn.Module:
        made: nn.Module = choose.inputs(
            node_name(kind, node), node, 2, lambda source: self._edge(choose, kind, node, width, source)
        )
        return made

    def _values(self, kind: str, node: int, edges: Mapping[int, str]) -> dict[str, Value]:
        if "none" in edges.values():
            raise InvalidArchError(
                f"{place(kind, node)}: a cell of DARTS has no edge 'none'; choose one of {', '.join(OPS)}, "
                "or use the space 'snas'"
            )
        if len(edges) != 2:
            raise InvalidArchError(f"{place(kind, node)}: it has {len(edges)} edges; give two, from different states")
        names = {edge_name(kind, source, node): op for source, op in edges.items()}
        return {node_name(kind, node): tuple(edges), **names}


@listed(
    "space",
    "snas",
    summary="SNAS: DARTS's two cells with any of 8 operations, none included, on all 14 edges; 1.93e25 archs",
    source="Xie et al., ICLR 2019, arXiv:1812.09926",
)
class Snas(DartsCells):
    """SNAS: every edge of both cells has one of eight operations, `none` among them: 8^28 archs.

    A node may have any number of inputs; a node without inputs is zero. Arguments are those of `DartsCells`.
    """

    operations = PRIMITIVES

    def declare(self) -> DecisionSpace:
        names = [
            edge_name(kind, source, node) for kind in CELLS for node in self.node_numbers for source in range(node)
        ]
        return DecisionSpace([Decision(name, PRIMITIVES) for name in names])

    def _node(self, choose: Chooser, kind: str, node: int, width: int) -> nn.Module:
        sources = range(node)
        return SummedInputs(sources, {str(j): self._edge(choose, kind, node, width, j) for j in sources})

    def _values(self, kind: str, node: int, edges: Mapping[int, str]) -> dict[str, Value]:
        return {edge_name(kind, source, node): edges.get(source, "none") for source in range(node)}


def node_name(kind: str, node: int) -> str:
    """Name of the decision about which states a node reads."""
    return f"{kind}.node{node}"


def edge_name(kind: str, source: int, node: int) -> str:
    """Name of the decision about the operation of an edge.

    Args:
        kind: Kind of the cell, "normal" or "reduce".
        source: Number of the state that the edge reads.
        node: Number of the node that it leads to.
    """
    return f"{kind}.edge{source}{node}"


def _node_decisions(kind: str, node: int) -> list[Decision]:
    subsets = tuple(combinations(range(node), 2))
    found = [Decision(node_name(kind, node), subsets, "inputs")]
    for source in range(node):
        kept = tuple(subset for subset in subsets if source in subset)
        when = () if kept == subsets else ((Condition(node_name(kind, node), kept),),)
        found.append(Decision(edge_name(kind, source, node), OPS, when=when))
    return found


def _by_source(kind: str, node: int, edges: Edges) -> dict[int, str]:
    """Operations by source, ascending; a state is read once."""
    found: dict[int, str] = {}
    for op, source in sorted(edges, key=lambda edge: edge[1]):
        checked_edge(kind, node, op, source)
        if source in found:
            raise InvalidArchError(f"{place(kind, node)}: it reads state {source} twice; give two different states")
        found[source] = op
    return found


def _cifar_stem(n_in: int, width: int) -> list[nn.Module]:
    return [nn.Sequential(nn.Conv2d(n_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))]


def _imagenet_stems(n_in: int, width: int) -> list[nn.Module]:
    """A quarter of the image, and half of that."""
    half = width // 2
    return [
        nn.Sequential(
            nn.Conv2d(n_in, half, 3, 2, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
        ),
        nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)),
    ]
