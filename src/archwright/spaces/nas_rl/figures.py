"""The costs of networks with skip connections, for many archs at once.

The cost of a layer depends on its input, and so on all its skip bits and on the filters of all layers before it. These
are too many decisions for a table of terms, but computing the cost is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwright.core.decisions import DecisionSpace, Rows

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Computes parameters, multiply-accumulates and bytes of archs.

    Attributes:
        decisions: The space's decisions.
        image: (channels, height, width) of the input.
        n_classes: Number of classes.
        n_layers: Number of layers.
        strides: Whether strides are decisions.
        pooled: Numbers of the layers after which a 2x2 pooling halves the image.
    """

    decisions: DecisionSpace
    image: tuple[int, ...]
    n_classes: int
    n_layers: int
    strides: bool
    pooled: Sequence[int]

    def of(self, rows: Rows) -> Mapping[str, Numbers]:
        """Figures (n,) of rows (n, n_decisions) by name; they are exact, as all are integers below 2^53."""
        params, macs, size = (np.zeros(len(rows)) for _ in range(3))
        filters: list[Numbers] = []
        sides: list[tuple[Numbers, Numbers]] = []
        is_read: list[NDArray[np.bool_]] = []
        for number in range(1, self.n_layers + 1):
            bits = [self._value(rows, f"layer{number}.skip{j}") for j in range(1, number)]
            n_in = sum((bit * width for bit, width in zip(bits, filters, strict=True)), np.zeros(len(rows)))
            n_in[n_in == 0] = self.image[0]
            n_out = self._value(rows, f"layer{number}.filters")
            kernel = self._value(rows, f"layer{number}.filter_height") * self._value(
                rows, f"layer{number}.filter_width"
            )
            out = [self._side(rows, number, axis, bits, [s[axis] for s in sides]) for axis in (0, 1)]
            weights = kernel * n_in * n_out
            params += weights + 2 * n_out
            macs += weights * out[0] * out[1]
            size += 8 * n_out + 8  # mean and variance of the batch norm, and the number of batches it has seen
            halved = number in self.pooled
            sides.append((_half(out[0]), _half(out[1])) if halved else (out[0], out[1]))
            filters.append(n_out)
            is_read = [read | (bit > 0) for read, bit in zip(is_read, bits, strict=True)]
            is_read.append(np.zeros(len(rows), dtype=bool))
        ends = sum(
            (np.where(read, 0, width) for read, width in zip(is_read, filters, strict=True)), np.zeros(len(rows))
        )
        params += (ends + 1) * self.n_classes
        macs += ends * self.n_classes
        return {"params": params, "macs": macs, "model_size_bytes": size + 4 * params}

    def _side(self, rows: Rows, number: int, axis: int, bits: Sequence[Numbers], sides: Sequence[Numbers]) -> Numbers:
        """Height or width of a layer's result: that of the largest image it reads, over its stride, rounded up."""
        largest = np.zeros(len(rows))
        for bit, side in zip(bits, sides, strict=True):
            largest = np.maximum(largest, bit * side)
        largest[largest == 0] = self.image[1 + axis]
        if not self.strides:
            return largest
        step = self._value(rows, f"layer{number}.stride_{('height', 'width')[axis]}")
        return np.ceil(largest / step)

    def _value(self, rows: Rows, name: str) -> Numbers:
        values = np.array(self.decisions[name].values, dtype=np.float64)
        found: Numbers = values[rows[:, self.decisions.position(name)]]
        return found


def _half(side: Numbers) -> Numbers:
    return np.ceil(side / 2)
