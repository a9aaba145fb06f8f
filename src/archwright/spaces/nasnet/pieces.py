"""Which parts of a NASNet depend on which decisions: an edge, a combination, the layers that read a cell's output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from archwright.core.arch import Value
from archwright.nn.ops.nasnet import MakeOp
from archwright.spaces.nasnet.cells import COMBINE, EDGES, CellShape
from archwright.spaces.nasnet.genotype import unread
from archwright.spaces.pieces import CostPiece, Form


@dataclass(frozen=True)
class PlacedCell:
    """A cell of the stack: its kind, widths and image sizes.

    Attributes:
        kind: "normal" or "reduction".
        shape: Its widths; `current` and `previous` are the widths of one state of the cells that they come from.
        inside: Height and width of states 0 and 1.
        before: Height and width of the earlier result before it becomes state 1.
        current_kind: Kind of the cell whose output becomes state 0; None for the stem.
        previous_kind: Kind of the cell whose output becomes state 1; None for the stem.
    """

    kind: str
    shape: CellShape
    inside: tuple[int, ...]
    before: tuple[int, ...]
    current_kind: str | None
    previous_kind: str | None

    def sides(self, source: int) -> tuple[int, ...]:
        """Height and width of a state."""
        return tuple(-(-side // self.shape.stride) for side in self.inside) if source > 1 else self.inside


@dataclass(frozen=True)
class Pieces:
    """The cost pieces of a network.

    Attributes:
        cells: The cells in order.
        blocks: Blocks B of a cell.
        ops: Operations by name.
        combines: Names of the combinations.
        is_derived: Whether a cell's output joins the states that no block reads.
        n_classes: Number of classes.
    """

    cells: tuple[PlacedCell, ...]
    blocks: int
    ops: Mapping[str, MakeOp]
    combines: tuple[str, ...]
    is_derived: bool
    n_classes: int

    def all(self) -> Iterator[CostPiece]:
        """All pieces."""
        for kind in dict.fromkeys(cell.kind for cell in self.cells):
            names = [f"{kind}.block{b}" for b in range(self.blocks)]
            for name in names:
                for i in EDGES:
                    yield CostPiece((f"{name}.input{i}", f"{name}.op{i}"), partial(self._edge_keys, kind), self._form)
                if len(self.combines) > 1:
                    yield CostPiece((f"{name}.combine",), partial(self._combine_keys, kind), self._form)
            if self.is_derived:
                inputs = tuple(f"{name}.input{i}" for name in names for i in EDGES)
                yield CostPiece(inputs, partial(self._width_keys, kind), self._form)

    def _edge_keys(self, kind: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        kept, op = values
        assert isinstance(kept, tuple)
        (source,) = kept
        found: list[tuple[Any, ...]] = []
        for cell in self._of_kind(kind):
            shape = cell.shape
            stride = shape.stride if source < 2 else 1
            found.append(("op", op, shape.width_of(source), shape.channels, stride, cell.sides(source)))
        return found

    def _combine_keys(self, kind: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        return [("combine", values[0], cell.shape.channels, cell.sides(2)) for cell in self._of_kind(kind)]

    def _width_keys(self, kind: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        sources = [kept[0] for kept in values if isinstance(kept, tuple)]
        n = len(unread(sources, self.blocks))
        found: list[tuple[Any, ...]] = []
        for i, cell in enumerate(self.cells):
            found += [("current", i, n)] if cell.current_kind == kind else []
            found += [("previous", i, n)] if cell.previous_kind == kind else []
        return [*found, ("head", n)] if self.cells[-1].kind == kind else found

    def _form(self, key: tuple[Any, ...]) -> Form:
        """The part of a key, and the shape of its input."""
        what, *rest = key
        if what == "op":
            op, n_in, n_out, stride, sides = rest
            return self.ops[op](n_in, n_out, stride), (n_in, *sides)
        if what == "combine":
            combine, channels, sides = rest
            return _Paired(COMBINE[combine](channels)), (channels, *sides)
        if what == "head":
            width = rest[0] * self.cells[-1].shape.channels
            return nn.Linear(width, self.n_classes), (width,)
        cell, n = self.cells[rest[0]], rest[1]
        shape = cell.shape.with_widths(n)
        if what == "current":
            return shape.match_current(), (shape.current, *cell.inside)
        return shape.match_previous(always=True), (shape.previous, *cell.before)

    def _of_kind(self, kind: str) -> Sequence[PlacedCell]:
        return [cell for cell in self.cells if cell.kind == kind]


class _Paired(nn.Module):
    """A combination of an input with itself."""

    def __init__(self, combine: nn.Module) -> None:
        super().__init__()
        self.combine = combine

    def forward(self, x: Any) -> Any:
        return self.combine(x, x)
