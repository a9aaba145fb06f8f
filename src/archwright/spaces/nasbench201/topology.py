"""The cell space of NAS-Bench-201 (Dong & Yang, ICLR 2020, arXiv:2001.00326), the topology space of NATS-Bench."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.drawing import Drawing, Edge, Graph, Node
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.core.graphs import Graphs
from archwright.nn.choice import Chooser
from archwright.nn.ops.cell import EdgeCell
from archwright.nn.ops.edges import Zero, relu_conv_bn
from archwright.nn.ops.pooling import LocalAvgPool2d
from archwright.nn.ops.residual import DownsamplingBlock
from archwright.spaces.arguments import check_image, truth_value, whole_number
from archwright.spaces.base import Space
from archwright.spaces.nasbench201.cells import (
    EDGES,
    N_NODES,
    OPS,
    Cell,
    cell_index,
    cell_matrix,
    cell_of_index,
    cell_text,
    parse_cell,
    unique_text,
)
from archwright.spaces.nasbench201.skeleton import MIN_SIDE, head, stem

MAX_CHANNELS, MAX_CELLS = 10_000, 1_000
Reduce = Literal[0, 1, 2, 3]
LEFT_OUT: dict[Reduce, tuple[str, ...]] = {
    0: (),
    1: ("nor_conv_1x1",),
    2: ("avg_pool_3x3",),
    3: ("nor_conv_1x1", "avg_pool_3x3"),
}
SHOWN = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1×1",
    "nor_conv_3x3": "conv 3×3",
    "avg_pool_3x3": "avg pool 3×3",
}
"""Names of the operations in drawings."""

DECISIONS = tuple(f"edge{source}{target}" for source, target in EDGES)


@listed(
    "space",
    "nasbench201",
    summary="NAS-Bench-201 (NATS-Bench topology): a cell of 6 edges, one of 5 operations each; 15,625 cells",
    source="Dong & Yang, ICLR 2020, arXiv:2001.00326",
)
class NasBench201(Space):
    """Six edges x 5 operations, the same in every cell: 15,625 archs.

    The benchmark's skeleton: a 3x3 stem, three stages of cells at 1, 2 and 4 times the width, a residual block
    between two stages that halves the image, batch norm, ReLU, pooling and a linear classifier.

    A code is the benchmark's text or index; the index always counts in the full space, whatever `reduce` is.

    Args:
        input_shape: (channels, height, width); at least 8 pixels a side.
        n_classes: Number of classes.
        channels: Width of the first stage; the benchmark has 16.
        cells: Cells in each stage; the benchmark has 5.
        reduce: Selects a smaller space of the ranking study of SPOS (Guo et al., 2020): 0 is the full space, 1 has no
            1x1 convolution, 2 no average pooling, 3 neither.
        affine: Whether the batch norms of the operations scale and shift. Those of stem, residual blocks and
            head always do.
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        channels: int = 16,
        cells: int = 5,
        reduce: Reduce = 0,
        affine: bool = True,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("nasbench201", self.input_shape, MIN_SIDE)
        self.channels = whole_number("channels", channels, MAX_CHANNELS)
        self.cells = whole_number("cells", cells, MAX_CELLS)
        if type(reduce) is not int or reduce not in get_args(Reduce):
            raise InvalidValueError(
                f"reduce is {reduce!r}; choose 0 (full space), 1 (no 1x1 convolution), 2 (no pooling) or 3 (neither)"
            )
        self.affine: bool = truth_value("affine", affine)
        self.reduce: Reduce = reduce
        self.ops: tuple[str, ...] = tuple(op for op in OPS if op not in LEFT_OUT[reduce])

    def args(self) -> dict[str, Any]:
        own = {"channels": self.channels, "cells": self.cells, "reduce": self.reduce, "affine": self.affine}
        return super().args() | own

    def input_forms(self) -> list[str]:
        return [f"{MIN_SIDE} pixels a side and more: halved twice, sides rounded up"]

    def search_form(self) -> NasBench201:
        """The network to search: no affine batch norms in operations, as in the benchmark's weight-sharing baselines.

        Their convolutions have a bias instead, as in these baselines.
        """
        return self.with_args(affine=False)

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(name, self.ops) for name in DECISIONS])

    def network(self, choose: Chooser) -> nn.Module:
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem(self.input_shape[0], self.channels))
        width = self.channels
        for stage in range(3):
            if stage:
                stages[f"down{stage}"] = DownsamplingBlock(width, 2 * width)
                width *= 2
            for cell in range(self.cells):
                stages[f"cell{stage}_{cell}"] = EdgeCell(N_NODES, partial(self._edge, choose, width))
        stages["head"] = head(width, self.n_classes)
        return nn.Sequential(stages)

    def _edge(self, choose: Chooser, width: int, source: int, target: int) -> nn.Module:
        makers: dict[str, Callable[[], nn.Module]] = {
            "none": Zero,
            "skip_connect": nn.Identity,
            "nor_conv_1x1": partial(relu_conv_bn, width, width, 1, affine=self.affine),
            "nor_conv_3x3": partial(relu_conv_bn, width, width, 3, affine=self.affine),
            "avg_pool_3x3": partial(LocalAvgPool2d, 3),
        }
        return choose.op(f"edge{source}{target}", {op: makers[op] for op in self.ops})

    # ── names of cells ────────────────────────────────────────────────────────────────────────────

    def code(self, arch: Mapping[str, Value]) -> str:
        """The benchmark's text, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
        return cell_text(self.cell(arch))

    def parse(self, code: str) -> Arch:
        """The arch of the benchmark's text, or of its index in the full space, e.g. "6111".

        Raises:
            InvalidArchError: If it is no cell, or has an operation that `reduce` excludes.
        """
        text = code.strip()
        is_index = text.isascii() and text.isdigit() and len(text) < 10
        cell = cell_of_index(int(text)) if is_index else parse_cell(text)
        for edge, op in zip(EDGES, cell, strict=True):
            if op not in self.ops:
                named = code if text == cell_text(cell) else f"{code} ({cell_text(cell)})"
                raise InvalidArchError(
                    f"cell {named} has {op} on edge {edge[0]}→{edge[1]}, which the space leaves out "
                    f"(reduce={self.reduce}); use reduce=0 or another cell"
                )
        return Arch(dict(zip(DECISIONS, cell, strict=True)))

    def parse_rows(self, codes: Sequence[str]) -> Rows:
        """As `Space.parse_rows`; the texts of a table, nine tenths of a second one by one, in a few hundredths."""
        groups = [code.split("+") for code in codes]
        if any(len(parts) != N_NODES - 1 for parts in groups):
            return super().parse_rows(codes)  # indices, or no cells
        columns = []
        for group, width in enumerate(range(1, N_NODES)):
            texts = {
                "|" + "|".join(f"{op}~{i}" for i, op in enumerate(ops)) + "|": tuple(map(self.ops.index, ops))
                for ops in itertools.product(self.ops, repeat=width)
            }
            found = [texts.get(parts[group]) for parts in groups]
            if None in found:
                return super().parse_rows(codes)  # which says what is wrong with the first such text
            columns.append(np.array(found, dtype=np.int16).reshape(len(codes), width))
        return np.concatenate(columns, axis=1)

    def graphs(self, rows: Rows) -> dict[str, Graphs]:
        """The cell's six edges; `none` is no edge."""
        kinds = [op for op in self.ops if op != "none"]
        number = np.array([kinds.index(op) if op != "none" else -1 for op in self.ops])
        source, target = np.array(EDGES).T
        return {"cell": Graphs(tuple(kinds), number[rows], np.tile(source, (len(rows), 1)), target, (0,), N_NODES - 1)}

    def without_dead(self, rows: Rows) -> Rows:
        """`none` on every edge that lies on no way from input to output."""
        live: Rows = np.where(self.graphs(rows)["cell"].live, rows, self.ops.index("none")).astype(np.int16)
        return live

    def cell(self, arch: Mapping[str, Value]) -> Cell:
        """The operations in the order of the benchmark's edges."""
        self.row(arch)
        return tuple(str(arch[name]) for name in DECISIONS)

    def index(self, arch: Mapping[str, Value]) -> int:
        """The arch's index in the benchmark's list of the full space."""
        return cell_index(self.cell(arch))

    def matrix(self, arch: Mapping[str, Value]) -> NDArray[np.int64]:
        """The adjacency matrix (4, 4): [target, source] is the operation's number, 0 (none) to 4 (avg_pool_3x3)."""
        return cell_matrix(self.cell(arch))

    def equivalence_key(self, arch: Mapping[str, Value], *, consider_zero: bool = True) -> str:
        """A text equal for isomorphic cells; see `cells.unique_text`."""
        return unique_text(self.cell(arch), consider_zero=consider_zero)

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The cell with its six edges, as in the paper's figure 1, and the skeleton that repeats it."""
        cell = self.cell(arch)
        states = [Node(str(i), "in" if i == 0 else "out" if i == N_NODES - 1 else str(i)) for i in range(N_NODES)]
        edges = tuple(
            Edge(str(source), str(target), SHOWN[op]) for (source, target), op in zip(EDGES, cell, strict=True)
        )
        graph = Graph(tuple(states), edges, "cell")
        summary = f"NAS-Bench-201 cell {cell_text(cell)}, and the network of {3 * self.cells} such cells"
        return Drawing((graph, self.network_strip(arch, title="network", merge=True)), summary)
