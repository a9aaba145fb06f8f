"""Costs that follow from counting: parameters, multiply–accumulates, floating-point operations, memory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.base import Cost
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import ACTIVATION_PEAK, COLUMNS, MEMORY_ACCESS, RowCounts, tables_of
from archwright.costs.tables.scopes import Probabilities
from archwright.nn.inputs import Form
from archwright.spaces.base import Space


class _Counted(Cost):
    """`factor` times a column of the count, which is kept in the tables with the columns of `group`."""

    column: ClassVar[str]
    group: ClassVar[tuple[str, ...]] = COLUMNS
    factor: ClassVar[int] = 1

    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        return float(self.factor * getattr(count(module, input_shape), self.column))

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return self.factor * tables_of(space, self.group).cost_rows(rows)[:, self.group.index(self.column)]

    def expected(self, space: Space, probabilities: Probabilities) -> Tensor:
        return self.factor * tables_of(space, self.group).expected(probabilities, self.column)

    def is_summed(self, space: Space) -> bool:
        return tables_of(space, self.group).is_additive


@listed("cost", "params", summary="learnable parameters")
class Params(_Counted):
    """The number of learnable parameters, including those of batch norms."""

    name = "params"
    column = "params"


@listed("cost", "macs", summary="multiply-accumulates of convolutions, linear layers and matrix products, batch 1")
class Macs(_Counted):
    """Multiply–accumulates of convolutions, linear layers and matrix products for one input."""

    name = "macs"
    column = "macs"
    counts_work = True


@listed("cost", "flops", summary="floating-point operations: twice the multiply-accumulates")
class Flops(_Counted):
    """Floating-point operations: twice the multiply–accumulates."""

    name = "flops"
    column = "macs"
    counts_work = True
    factor = 2


@listed(
    "cost",
    "bit-ops",
    summary="multiply-accumulates times the bits of weights and of inputs, of layers with bit widths, batch 1",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class BitOps(_Counted):
    """Multiply–accumulates times bits of weights times bits of inputs; layers in full precision are left out.

    Networks in which no layer has bit widths are refused, because nothing in them would be counted.
    """

    name = "bit_ops"
    column = "bit_ops"
    counts_work = True
    group = ("bit_ops",)

    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        found = super().cost_module(module, input_shape)
        if not found:
            raise InvalidValueError(_NO_BITS.format(f"the {type(module).__name__}"))
        return found

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        found = super().cost_rows(space, rows)
        if not found.all():
            raise InvalidValueError(_NO_BITS.format(f"a network of space {space.name!r}"))
        return found


_NO_BITS = "bit_ops counts layers with bit widths, and {} has none; use macs"


@listed(
    "cost", "memory-access-bytes", summary="inputs, outputs and weights of every leaf, four bytes a number, batch 1"
)
class MemoryAccess(_Counted):
    """Bytes of the inputs, outputs and weights of every leaf in a forward pass (see `costs.counting.memory`)."""

    name = MEMORY_ACCESS
    unit = "bytes"
    column = MEMORY_ACCESS
    # tables of its own: it is additive in more decisions than the others, if at all
    group = (MEMORY_ACCESS,)


@listed("cost", "model-size-bytes", summary="parameters and buffers at the width of their types, or their bits")
class ModelSize(_Counted):
    """Bytes of parameters and saved buffers, at the width of their type or, if it has one, their layer's bit width."""

    name = "model_size_bytes"
    unit = "bytes"
    column = "model_size_bytes"
    group = ("model_size_bytes",)


@listed("cost", "activation-peak-bytes", summary="largest sum of tensors alive at one time, batch 1, nothing in place")
class ActivationPeak(Cost):
    """The largest total of activations in memory at one operation, in bytes (see `costs.counting.memory`).

    A maximum is no sum over parts, so each arch is counted on its own, once for each space object. This takes about
    20 ms, where sums take microseconds.
    """

    name = ACTIVATION_PEAK
    unit = "bytes"

    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        return float(count(module, input_shape).activation_peak_bytes)

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        if "_peaks" not in vars(space):
            vars(space)["_peaks"] = RowCounts(space, (self.name,))
        peaks: RowCounts = vars(space)["_peaks"]
        return peaks.cost_rows(rows)[:, 0]

    def is_summed(self, space: Space) -> bool:
        return False
