"""Which parts of an operation depend on which decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from archwright.core.arch import Value
from archwright.spaces.pieces import CostPiece, Form
from archwright.spaces.smash.grammar import kernel_of, slots_of
from archwright.spaces.smash.layers import Layers


@dataclass(frozen=True)
class Pieces:
    """The cost pieces of a block's operations.

    Attributes:
        block: Number of the block.
        layers: Makes the operations.
        sides: Height and width of the block's images.
    """

    block: int
    layers: Layers
    sides: tuple[int, ...]

    def of(self, name: str) -> Iterator[CostPiece]:
        """The pieces of one operation: its 1x1 convolution, and each of the others."""
        yield CostPiece((f"{name}.read", f"{name}.width"), self._point_keys, self._form)
        structures = self.layers.rules.structures
        shape = (f"{name}.structure",) if len(structures) > 1 else ()
        for slot in dict.fromkeys(slot for structure in structures for slot in slots_of(structure)):
            conv = f"{name}.conv{slot}"
            own = (f"{conv}.rows", f"{conv}.columns", f"{conv}.groups")
            names = (f"{name}.read", f"{name}.width", *own, *shape)
            yield CostPiece(names, partial(self._conv_keys, slot), self._form)

    def _point_keys(self, values: tuple[Value | None, ...]) -> list[tuple[Any, ...]]:
        read, width = values
        if not isinstance(read, tuple) or not isinstance(width, int):
            return []
        n_in = len(read) * self.layers.bank
        return [("point", self.block, n_in, self.layers.n_middle(n_in, width))]

    def _conv_keys(self, slot: int, values: tuple[Value | None, ...]) -> list[tuple[Any, ...]]:
        read, width, rows, columns, groups = values[:5]
        if not isinstance(read, tuple) or not isinstance(width, int):
            return []
        if not isinstance(rows, int) or not isinstance(columns, int):  # the structure has no such convolution
            return []
        n_out = width * self.layers.rules.base
        n_in = n_out if slot % 2 else self.layers.n_middle(len(read) * self.layers.bank, width)
        return [("conv", self.block, n_in, n_out, kernel_of(rows), kernel_of(columns), groups)]

    def _form(self, key: tuple[Any, ...]) -> Form:
        """The part of a key, and the shape of its input."""
        what, _, n_in, n_out, *rest = key
        if what == "point":
            return self.layers.point(n_in, n_out), (n_in, *self.sides)
        height, width, groups = rest
        parts = self.layers.slot(n_in, n_out, ((height, 1), (width, 1)), groups)
        return parts, (n_in, *self.sides)
