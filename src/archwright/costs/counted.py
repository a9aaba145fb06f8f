"""Costs that follow from counting: parameters, multiply–accumulates, floating-point operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.costs.base import Cost
from archwright.costs.count import count
from archwright.costs.table import COLUMNS, tables_of
from archwright.spaces.base import Space


class _Counted(Cost):
    """`factor` times a column of the count."""

    column: str
    factor: int = 1

    def cost_module(self, module: nn.Module, input_shape: Sequence[int]) -> float:
        return float(self.factor * getattr(count(module, input_shape), self.column))

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return self.factor * tables_of(space).cost_rows(rows)[:, COLUMNS.index(self.column)]


@listed("cost", "params", summary="learnable parameters")
class Params(_Counted):
    """Learnable parameters, batch norm's included."""

    name = "params"
    column = "params"


@listed("cost", "macs", summary="multiply-accumulates of convolutions, linear layers and matrix products, batch 1")
class Macs(_Counted):
    """Multiply–accumulates of convolutions, linear layers and matrix products for one input."""

    name = "macs"
    column = "macs"


@listed("cost", "flops", summary="floating-point operations: twice the multiply-accumulates")
class Flops(_Counted):
    """Floating-point operations: twice the multiply–accumulates."""

    name = "flops"
    column = "macs"
    factor = 2
