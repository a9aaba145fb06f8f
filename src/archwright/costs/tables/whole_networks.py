"""Figures of stand-alone networks, each built and counted as a whole, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.decisions import Rows
from archwright.costs.counting.count import count
from archwright.nn.inputs import Form
from archwright.spaces.base import Space


class WholeCounts:
    """Figures of the archs of one space.

    Args:
        space: The space.
        columns: Names of attributes of `Count`.
        memory: Whether one of them needs the tensors of a pass to be tracked.
    """

    def __init__(self, space: Space, columns: Sequence[str], *, memory: bool) -> None:
        self.space, self.columns, self.memory = space, tuple(columns), memory
        self._known: dict[bytes, NDArray[np.float64]] = {}

    def cost_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Figures (n, n_columns), in the order of the columns."""
        return np.array([self.of(row) for row in rows]).reshape(len(rows), len(self.columns))

    def of(self, row: NDArray[Any]) -> NDArray[np.float64]:
        """Figures (n_columns,) of one arch (n_decisions,)."""
        key = row.tobytes()
        if key not in self._known:
            with self.space.shapes_only():
                network = self.space.build(self.space.decisions.arch(row))
            self._known[key] = self.of_module(network, self.space.signature)
        return self._known[key]

    def of_module(self, module: nn.Module, form: Form) -> NDArray[np.float64]:
        """Figures (n_columns,) of any module."""
        counted = count(module, form, memory=self.memory)
        return np.array([float(getattr(counted, column)) for column in self.columns])
