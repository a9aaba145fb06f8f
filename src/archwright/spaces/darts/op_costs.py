"""What SNAS counts of an operation: parameters, operations and memory access, by formulas of its released code.

They are sums over the edges of the search network that depend on the chosen operations linearly. They are not our
costs: batch norms have no parameters, a pooling has operations, "flops" are multiply-accumulates, and memory access
(MAC in the paper) is counted in numbers, not bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.spaces.darts.convolutional import DartsCells, edge_name
from archwright.spaces.darts.genotypes import CELLS, FIRST_NODE, PRIMITIVES

Resource = Literal["params", "flops", "memory", "mixed"]

SCALES = (0.86, 0.43 / 4000, 0.43 / 100)
"""Of parameters, operations and memory access in the released sum, 0.43 (2 params + flops / 4000 + memory / 100)."""


@dataclass(frozen=True)
class OpCost:
    """Figures of an operation.

    Attributes:
        params: Parameters.
        flops: Multiply-accumulates.
        memory: Numbers read and written.
    """

    params: float
    flops: float
    memory: float


def op_cost(op: str, width: int, side: float, stride: int) -> OpCost:
    """The figures of one operation.

    Args:
        op: Its name, one of DARTS's eight.
        width: Channels of input and output, C.
        side: Of the output in pixels, y; of images that are not square the root of their pixels.
        stride: 1 or 2.

    Examples:
        >>> op_cost("sep_conv_3x3", 16, 32, 1)
        OpCost(params=800, flops=819200, memory=131872)
        >>> op_cost("skip_connect", 32, 16, 2)
        OpCost(params=1024, flops=262144, memory=74752)
    """
    pixels = round(side**2)
    if op == "none":
        return OpCost(0, 0, 0)
    if op == "skip_connect":
        if stride == 1:
            return OpCost(0, 0, 2 * width * pixels)
        params = width**2
        return OpCost(params, params * pixels, 2 * pixels * (4 * width + width // 2) + params)
    if op.endswith("pool_3x3"):
        return OpCost(0, 9 * width * pixels, (2 if stride == 1 else 5) * width * pixels)
    kernel, times = int(op[-1]), 2 if op.startswith("sep") else 1
    params = times * (width * kernel**2 + width**2)
    moved = 4 * times if stride == 1 else 4 * times + 3
    return OpCost(params, params * pixels, moved * width * pixels + params)


def resource_measure(space: DartsCells, resource: Resource, *, is_log: bool) -> Callable[[Mapping[str, Any]], Tensor]:
    """A function from the probabilities of operations, by decision, to the cost of the search network.

    As logarithms, each figure of an edge enters by its logarithm (of at least 1), "mixed" by the mean of the three; the
    sums over normal and over reduction cells are divided by their numbers.

    Args:
        space: SNAS's, whose edges each choose among the eight operations.
        resource: Which figure, or all three together.
        is_log: Whether logarithms are taken.

    Raises:
        UnknownNameError: If there is no such figure.
        InvalidValueError: If the space has other decisions.
    """
    check_resource(resource)
    names = {kind: [edge_name(kind, j, node) for node in space.node_numbers for j in range(node)] for kind in CELLS}
    if tuple(space.decisions[names[CELLS[0]][0]].values) != PRIMITIVES:
        raise InvalidValueError(f"space {space.name!r} does not choose among none and 7 operations; take snas")
    place = ("params", "flops", "memory").index(resource) if resource != "mixed" else None
    tables = {kind: torch.from_numpy(_tables(space, kind)) for kind in CELLS}  # (cells, edges, ops, 3)

    def measure(probabilities: Mapping[str, Any]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for kind in CELLS:
            rows = [torch.as_tensor(probabilities[name]).to("cpu", torch.float64) for name in names[kind]]
            figures = torch.einsum("eo,ceof->cef", torch.stack(rows), tables[kind])
            if is_log:
                logs = figures.clamp(min=1).log()
                each = logs.mean(2) if place is None else logs[..., place]
                total = total + each.sum() / len(figures)
            else:
                scaled = figures * torch.tensor(SCALES, dtype=torch.float64)
                total = total + (scaled if place is None else scaled[..., place]).sum()
        return total

    return measure


def check_resource(resource: str) -> None:
    """Refuse a figure that there is not."""
    if resource not in get_args(Resource):
        raise UnknownNameError("resource", resource, get_args(Resource))


def _tables(space: DartsCells, kind: str) -> NDArray[np.float64]:
    """(cells of the kind, edges, operations, 3)."""
    found = []
    maps = space.cell_maps()
    for i, (width, (height, side)) in enumerate(maps):
        if (i in space.reductions) != (kind == "reduce"):
            continue
        edges = []
        for node in space.node_numbers:
            for source in range(node):
                stride = 2 if kind == "reduce" and source < FIRST_NODE else 1
                costs = [op_cost(op, width, math.sqrt(height * side), stride) for op in PRIMITIVES]
                edges.append([[cost.params, cost.flops, cost.memory] for cost in costs])
        found.append(edges)
    return np.array(found, dtype=np.float64)
