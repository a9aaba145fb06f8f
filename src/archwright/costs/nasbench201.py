"""FLOPs as the tables of NAS-Bench-201 count them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.costs.base import Cost
from archwright.costs.counted import Macs
from archwright.nn.inputs import Form
from archwright.nn.ops.classifier import out_size
from archwright.nn.sizes import current
from archwright.spaces.base import Space


@listed(
    "cost",
    "nb201-flops",
    summary="FLOPs in the convention of NAS-Bench-201's tables: multiply-accumulates and one addition a class",
    source="Dong & Yang, ICLR 2020, arXiv:2001.00326",
)
class NasBench201Flops(Cost):
    """Multiply–accumulates plus one addition for each class: the benchmark counts only the classifier's bias."""

    name = "nb201_flops"

    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        return Macs().cost_module(module, input_shape) + float(current(out_size(module)) or 0)

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        n_classes = space.n_classes if "n_classes" in space.args() else 0
        return Macs().cost_rows(space, rows) + n_classes
