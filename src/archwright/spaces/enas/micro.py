"""ENAS's micro search space: two cells (Pham et al., ICML 2018, arXiv:1802.03268, section 2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, Self

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.drawing import Drawing
from archwright.core.graphs import Graphs
from archwright.nn.choice import Chooser
from archwright.nn.choice.choosers import subsets
from archwright.nn.drop_path import dropped
from archwright.nn.dropout import check_rate
from archwright.nn.elastic import Concat, Linear
from archwright.nn.ops.auxiliary import SMALLEST_MAP
from archwright.nn.ops.edges import relu_conv_bn
from archwright.nn.ops.enas import MICRO_OPS, EnasAuxiliaryHead, LooseEndsCell, OfLast, reduction
from archwright.nn.ops.nasnet import Add, Block, FactorizedReduction
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.two_inputs import TwoInputNetwork
from archwright.nn.sizes import Size, largest
from archwright.spaces.arguments import check_image, loss_weight, truth_value, whole_number, whole_number_or_none
from archwright.spaces.base import Space
from archwright.spaces.enas.micro_pieces import MicroPieces
from archwright.spaces.enas.numbers import check_below, check_count, group_texts, grouped, read_digits
from archwright.spaces.enas.stack import MIN_SIDE, Position, Result, results, stack
from archwright.spaces.nasnet.cells import size_unless_read
from archwright.spaces.nasnet.drawing import cell_graph
from archwright.spaces.nasnet.forms import MIN_FINAL_SIDE, strides_of
from archwright.spaces.nasnet.genotype import KINDS, Edge, unread
from archwright.spaces.nasnet.genotype import Block as BlockText
from archwright.spaces.nasnet.genotype import Cell as CellText
from archwright.spaces.nasnet.graphs import block_graphs
from archwright.spaces.pieces import CostPiece

OPS = tuple(MICRO_OPS)
EDGES = ("1", "2")
INPUTS = ("the one before", "previous cell")
"""Names of states 0 and 1 in pictures."""

MAX_BLOCKS = 8
"""Most blocks of a cell; its states are then 0 to 9, one digit each in a code."""


@listed(
    "space",
    "enas-micro",
    summary="ENAS micro: a normal and a reduction cell of 5 blocks, each of two inputs and two of 5 operations",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
class EnasMicro(Space):
    """Two cells of B blocks: ((B + 1)!)^4 x 5^(4B) archs, 2.56e25 for five blocks.

    A block picks two earlier states of its cell and an operation for each; its state is their sum. State 0 is the
    output of the cell before the last one, state 1 that of the last one (in NASNet it is the other way round). A
    cell's output joins the states that no block reads.

    A code lists both cells as the released scripts do: for each block a state, an operation, a state, an operation,
    with operations numbered in the order of `OPS`. `,` separates blocks, `/` separates cells; text with the scripts'
    blanks between numbers is read too.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        cells: L, normal cells; two reduction cells are added to them. By default 15, and 6 in the search.
        channels: F, width of a state; it doubles with each reduction. By default 36, and 20 in the search.
        blocks: B, blocks of a cell, at most 8.
        search: Whether it is the network that the search trains: a convolution brings a cell's output back to F
            channels, and the image is halved before a reduction cell, not in it.
        drop_path: Probability, at the last cell and step, that the result of a convolution or pooling is dropped for
            an example.
        auxiliary: Weight of the loss of an auxiliary classifier after the cell that follows the second reduction, a
            part of training only; 0 for none. It is left out if the map there is smaller than 5 x 5.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        cells: int | None = None,
        channels: int | None = None,
        blocks: int = 5,
        search: bool = False,
        drop_path: float = 0.0,
        auxiliary: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image(self.name, self.input_shape, MIN_SIDE)
        self.search = truth_value("search", search)
        # kept as they were given: the search form has numbers of its own
        self._given = {
            "cells": whole_number_or_none("cells", cells, 1_000, least=3),
            "channels": whole_number_or_none("channels", channels, 10_000, least=2),
        }
        default_cells, default_channels = (6, 20) if self.search else (15, 36)
        self.cells = self._given["cells"] or default_cells
        self.channels = self._given["channels"] or default_channels
        self.blocks = whole_number("blocks", blocks, MAX_BLOCKS)
        self.drop_path, self.dropout = check_rate("drop_path", drop_path), check_rate("dropout", dropout)
        self.auxiliary = loss_weight("auxiliary", auxiliary)

    def args(self) -> dict[str, Any]:
        names = ("blocks", "search", "drop_path", "auxiliary", "dropout")
        return super().args() | self._given | {name: getattr(self, name) for name in names}

    def input_forms(self) -> list[str]:
        return [
            f"{MIN_SIDE} pixels a side and more: halved at both reduction cells where that leaves a map of at least "
            f"{MIN_FINAL_SIDE} x {MIN_FINAL_SIDE}, else at the second or at none"
        ]

    def search_form(self) -> Self:
        """The network of shared weights: 6 + 2 cells and 20 channels, unless others were given."""
        return self.with_args(search=True, drop_path=0.0, auxiliary=0.0, dropout=0.1)

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found = []
        for kind in KINDS:
            for b in range(self.blocks):
                for i in EDGES:
                    found.append(Decision(f"{kind}.block{b}.input{i}", subsets(b + 2, 1), "inputs"))
                    found.append(Decision(f"{kind}.block{b}.op{i}", OPS))
        return DecisionSpace(found)

    def graphs(self, rows: Rows) -> dict[str, Graphs]:
        """Both cells; a block is a node with two edges, and all blocks lead to the output."""
        return block_graphs(self.decisions, rows, self.blocks, tuple(OPS))

    def network(self, choose: Chooser) -> nn.Module:
        maps = self._results()
        widths: list[Size] = [maps[0].channels]
        cells: list[nn.Module] = []
        for i, position in enumerate(self._positions()):
            older = max(i - 1, 0)
            if position.kind == "halving":
                cells.append(OfLast(reduction(widths[-1], position.channels, position.stride)))
                widths.append(position.channels)
                continue
            halves = maps[older].sides != maps[i].sides
            cell, width = self._cell(choose, position, widths[older], widths[i], halves)
            cells.append(cell)
            widths.append(width)
        head = nn.Sequential(
            nn.ReLU(), GlobalAvgPool2d(), nn.Dropout(self.dropout), Linear(widths[-1], self.n_classes, bias=False)
        )
        return TwoInputNetwork([self._stem()], cells, head)

    def build_for_training(self, arch: Mapping[str, Value]) -> nn.Module:
        """The network with its auxiliary classifier, unless the map it would read is too small."""
        network = self.build(arch)
        assert isinstance(network, TwoInputNetwork)
        positions, maps = self._positions(), self._results()
        at = max(i for i, position in enumerate(positions) if position.kind == "reduction") + 1
        sides = maps[at + 1].sides
        if self.auxiliary and min(sides) >= SMALLEST_MAP:
            n_in = maps[at + 1].channels * self._n_emitted(arch, positions[at].kind)
            network.add_auxiliary(EnasAuxiliaryHead(n_in, sides, self.n_classes, weight=self.auxiliary), at)
        return network

    def _n_emitted(self, arch: Mapping[str, Value], kind: str) -> int:
        """How many states leave a cell of that kind."""
        return 1 if self.search else len(self.outputs(arch)[KINDS.index(kind)])

    def _cell(
        self, choose: Chooser, position: Position, older: Size, newer: Size, halves: bool
    ) -> tuple[nn.Module, Size]:
        """A cell and the channels of its output."""
        channels = position.channels
        stride = 1 if self.search else position.stride
        blocks, sources = nn.ModuleList(), []
        for b in range(self.blocks):
            name = f"{position.kind}.block{b}"
            first, second = (
                choose.inputs(f"{name}.input{i}", b + 2, 1, partial(self._edge, choose, f"{name}.op{i}", position))
                for i in EDGES
            )
            sources.append((first.kept, second.kept))
            blocks.append(Block(first, second, Add()))
        sizes = [_emitted_size(choose, channels, state, sources) for state in range(self.blocks + 2)]
        emitted = nn.ModuleList(
            FactorizedReduction(channels, channels) if stride == 2 and largest(size) else nn.Identity()
            for size in sizes[:2]
        )
        width = sum(sizes)
        project = relu_conv_bn(width, channels, 1) if self.search else nn.Identity()
        inputs = self._match_older(older, channels, halves), self._match_newer(newer, channels)
        return LooseEndsCell(*inputs, blocks, emitted, Concat(sizes), project), channels if self.search else width

    def _edge(self, choose: Chooser, name: str, position: Position, source: int) -> nn.Module:
        stride = position.stride if source < 2 and not self.search else 1  # only what comes into the cell is halved

        def make(op: str) -> nn.Module:
            module = MICRO_OPS[op](position.channels, position.channels, stride)
            return module if op == "identity" else dropped(module, self.drop_path * position.depth)

        return choose.op(name, {op: partial(make, op) for op in OPS})

    def _match_older(self, n_in: Size, channels: int, halves: bool) -> nn.Module:
        """From the output of the cell before the last one to state 0."""
        if halves:
            return nn.Sequential(nn.ReLU(), FactorizedReduction(n_in, channels))
        return nn.Identity() if self.search and n_in == channels else relu_conv_bn(n_in, channels, 1)

    def _match_newer(self, n_in: Size, channels: int) -> nn.Module:
        """From the output of the last cell to state 1; in the final network through a second convolution."""
        if self.search:
            return nn.Identity() if n_in == channels else relu_conv_bn(n_in, channels, 1)
        return nn.Sequential(*relu_conv_bn(n_in, channels, 1), *relu_conv_bn(channels, channels, 1))

    def _stem(self) -> nn.Sequential:
        conv = nn.Conv2d(self.input_shape[0], 3 * self.channels, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(3 * self.channels))

    def _positions(self) -> list[Position]:
        _, strides = strides_of(min(self.input_shape[1:]), "cifar")
        return stack(self.cells, self.channels, strides, halves_before=self.search)

    def _results(self) -> list[Result]:
        height, width = self.input_shape[1:]
        return results(self._positions(), 3 * self.channels, (height, width))

    def cost_pieces(self) -> Iterable[CostPiece]:
        """One piece for each edge, and one for each cell with the parts whose width depends on its unread states."""
        pieces = MicroPieces(
            positions=tuple(self._positions()),
            results=tuple(self._results()),
            blocks=self.blocks,
            is_search=self.search,
            n_classes=self.n_classes,
            match_older=self._match_older,
        )
        return pieces.all()

    # ── names of members ──────────────────────────────────────────────────────────────────────────

    def cells_of(self, arch: Mapping[str, Value]) -> tuple[CellText, CellText]:
        """The normal and the reduction cell of an arch."""
        self.row(arch)
        normal, reduced = (tuple(self._block(arch, f"{kind}.block{b}") for b in range(self.blocks)) for kind in KINDS)
        return normal, reduced

    def outputs(self, arch: Mapping[str, Value]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The states that form the outputs of the normal and the reduction cell: those that no block reads."""
        normal, reduced = (
            unread([edge.source for block in cell for edge in (block.first, block.second)], self.blocks, first=0)
            for cell in self.cells_of(arch)
        )
        return normal, reduced

    def tokens(self, arch: Mapping[str, Value]) -> list[int]:
        """The arch in the numbers that the released code stores: state, operation, state, operation of each block."""
        return [
            number
            for cell in self.cells_of(arch)
            for block in cell
            for edge in (block.first, block.second)
            for number in (edge.source, OPS.index(edge.op))
        ]

    def arch_of_tokens(self, tokens: Sequence[int]) -> Arch:
        """The arch whose `tokens` these are.

        Raises:
            InvalidArchError: If there are too few or too many, or one is out of range; the message has cell and block.
        """
        check_count(tokens, sum(self._sizes()))
        groups = grouped(tokens, self._sizes())
        values: dict[str, Value] = {}
        for (kind, b), place, numbers in zip(product(KINDS, range(self.blocks)), self._places(), groups, strict=True):
            name = f"{kind}.block{b}"
            for i, source, op in zip(EDGES, numbers[::2], numbers[1::2], strict=True):
                values[f"{name}.input{i}"] = (check_below(f"{place}: input {i}", source, b + 2),)
                values[f"{name}.op{i}"] = OPS[check_below(f"{place}: operation {i}", op, len(OPS))]
        return Arch(values)

    def code(self, arch: Mapping[str, Value]) -> str:
        """Both cells in the numbers of the released code, like "0200,0401,…/1010,…"."""
        texts = group_texts(self.tokens(arch), self._sizes())
        return "/".join(",".join(texts[start : start + self.blocks]) for start in (0, self.blocks))

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has cell and block.
        """
        return self.arch_of_tokens(read_digits(code, self._places(), self._sizes()))

    def _block(self, arch: Mapping[str, Value], name: str) -> BlockText:
        first, second = (Edge(str(arch[f"{name}.op{i}"]), _source(arch[f"{name}.input{i}"])) for i in EDGES)
        return BlockText(first, second)

    def _places(self) -> list[str]:
        return [f"block {b} of the {kind} cell" for kind in KINDS for b in range(self.blocks)]

    def _sizes(self) -> list[int]:
        return [4] * (2 * self.blocks)

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """Both cells as the paper draws them, and the network that repeats them."""
        graphs = [
            cell_graph(kind, cell, outputs, INPUTS)
            for kind, cell, outputs in zip(KINDS, self.cells_of(arch), self.outputs(arch), strict=True)
        ]
        strip = self.network_strip(arch, title="network", merge=True)
        return Drawing((*graphs, strip), f"ENAS cells {self.code(arch)}, and the network of them")


def _emitted_size(choose: Chooser, channels: int, state: int, sources: Sequence[tuple[Any, Any]]) -> Size:
    """Channels that a state adds to the cell's output: all, or none where a block reads it."""
    readers = [kept for b, pair in enumerate(sources) if b + 2 > state for kept in pair]
    return size_unless_read(choose, channels, state, readers)


def _source(kept: Value) -> int:
    assert isinstance(kept, tuple)
    return kept[0]
