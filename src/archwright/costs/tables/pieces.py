"""Counted costs of populations, for a space that lists which of its parts depend on which decisions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs.tables.scopes import MAX_COMBINATIONS, Probabilities, closed_scope, combinations, n_combinations
from archwright.costs.tables.whole_networks import WholeCounts
from archwright.spaces.base import Space
from archwright.spaces.pieces import CostPiece

N_CHECKED = 2
MAX_KNOWN = 10_000
"""Most combinations of values whose terms a piece keeps."""

SUMMED = frozenset(["params", "macs", "model_size_bytes"])
"""Figures that are sums over the parts of a network, however the parts are joined."""


class PieceTables:
    """Costs of any rows of a space with cost pieces (see `Space.cost_pieces`).

    Each form of a part is counted once, when it is first asked for. Sums are compared with networks counted as a
    whole when the tables are made.

    Args:
        space: The space.
        columns: Names of attributes of `Count`.

    Attributes:
        is_additive: Whether rows are looked up; if a column is no sum over parts, each arch is counted once.

    Raises:
        SpaceError: If the pieces do not add up to what whole networks cost.
    """

    def __init__(self, space: Space, columns: tuple[str, ...]) -> None:
        self.space, self.columns, self.decisions = space, columns, space.decisions
        self.is_additive = set(columns) <= SUMMED
        self._pieces = list(space.cost_pieces() or ())
        self._codes = [_Codes(self.decisions, piece.names) for piece in self._pieces]
        self._known: list[dict[int, NDArray[np.float64]]] = [{} for _ in self._pieces]
        self._forms: dict[Hashable, NDArray[np.float64]] = {}
        self._whole = WholeCounts(space, columns, memory=not self.is_additive)
        if self.is_additive:
            rows = self.decisions.sample(1 + N_CHECKED, np.random.default_rng(0))
            self._fixed = np.zeros(len(columns))
            self._fixed = self._whole.of(rows[0]) - self.cost_rows(rows[:1])[0]
            if not (self.cost_rows(rows) == self._whole.cost_rows(rows)).all():
                raise SpaceError(f"the cost pieces of space {space.name!r} do not add up to what its networks cost")

    def cost_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Costs (n, n_columns), in the order of `columns`."""
        if not self.is_additive:
            return self._whole.cost_rows(rows)
        total = np.tile(self._fixed, (len(rows), 1))
        for piece, codes, known in zip(self._pieces, self._codes, self._known, strict=True):
            found, inverse = _distinct(codes.of(rows), codes.n)
            new = [code for code in found.tolist() if code not in known]
            fresh = {code: self._of(piece, indices) for code, indices in zip(new, codes.indices(new), strict=True)}
            total += np.array([fresh[code] if code in fresh else known[code] for code in found.tolist()])[inverse]
            if len(known) + len(fresh) <= MAX_KNOWN:
                known.update(fresh)
        return total

    def expected(self, probabilities: Probabilities, column: str) -> Tensor:
        """The expected value of a column if every decision is drawn independently; see `ScopeTables.expected`.

        Raises:
            InvalidValueError: If a part depends on too many decisions, or probabilities do not fit.
        """
        place = self.columns.index(column)
        if not self.is_additive:
            raise InvalidValueError(
                f"{column} of space {self.space.name!r} is no sum of parts; it has no expected value"
            )
        total = torch.tensor(self._fixed[place], dtype=torch.float64)
        for piece in self._pieces:
            closed = closed_scope(self.decisions, [self.decisions.position(name) for name in piece.names])
            if n_combinations(self.decisions, closed) > MAX_COMBINATIONS:
                raise InvalidValueError(
                    f"a part of space {self.space.name!r} depends on {len(closed)} decisions together, more than "
                    f"{MAX_COMBINATIONS:,} combinations; {column} has no expected value"
                )
            chances = [self._given(probabilities, self.decisions.names[c]) for c in closed]
            places = [closed.index(self.decisions.position(name)) for name in piece.names]
            for row in combinations(self.decisions, closed).tolist():
                chance = math.prod(given[i] for given, i in zip(chances, row, strict=True) if i >= 0)
                total = total + chance * float(self._of(piece, [row[c] for c in places])[place])
        return total

    def _given(self, probabilities: Probabilities, name: str) -> Tensor:
        n = len(self.decisions[name].values)
        given = torch.as_tensor(probabilities[name]).to("cpu", torch.float64) if name in probabilities else None
        if given is None or given.shape != (n,):
            raise InvalidValueError(f"probabilities of decision {name!r} are missing or not one for each of {n} values")
        return given

    def _of(self, piece: CostPiece, indices: Sequence[int]) -> NDArray[np.float64]:
        pairs = zip(piece.names, indices, strict=True)
        values = tuple(self.decisions[name].values[int(i)] if i >= 0 else None for name, i in pairs)
        total = np.zeros(len(self.columns))
        for key in piece.keys(values):
            if key not in self._forms:
                with self._whole.space.shapes_only():
                    module, shape = piece.form(key)
                self._forms[key] = self._whole.of_module(module, shape)
            total += self._forms[key]
        return total


class _Codes:
    """One number for the values of some decisions in a row.

    Args:
        decisions: Of the space.
        names: Of the decisions.

    Attributes:
        n: Numbers there are.
    """

    def __init__(self, decisions: DecisionSpace, names: Sequence[str]) -> None:
        # the first value of a decision that may be inactive is -1
        self._first = np.array([-1 if decisions[name].when else 0 for name in names], dtype=np.int64)
        self._shape = tuple(int(len(decisions[name].values) - i) for name, i in zip(names, self._first, strict=True))
        self.n = math.prod(self._shape)
        self._columns = [decisions.position(name) for name in names]
        self._weights = np.array([math.prod(self._shape[i + 1 :]) for i in range(len(names))], dtype=np.int64)

    def of(self, rows: Rows) -> NDArray[np.int64]:
        """The number (n,) of each of the rows (n, n_decisions)."""
        found: NDArray[np.int64] = (rows[:, self._columns] - self._first) @ self._weights
        return found

    def indices(self, codes: Sequence[int]) -> list[list[int]]:
        """Value indices that numbers stand for, -1 for inactive."""
        digits = np.array(codes, dtype=np.int64)[:, None] // self._weights % np.array(self._shape, dtype=np.int64)
        found: list[list[int]] = (digits + self._first).tolist()
        return found


def _distinct(codes: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different ones among codes below n, ascending, and the place of each code among them."""
    if (codes == codes[0]).all():
        return codes[:1], np.zeros(len(codes), dtype=np.int64)
    if n > MAX_COMBINATIONS:
        found, inverse = np.unique(codes, return_inverse=True)
        return found, inverse
    is_there = np.zeros(n, dtype=bool)
    is_there[codes] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[codes]
