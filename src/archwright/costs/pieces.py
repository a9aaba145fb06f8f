"""Counted costs of populations of a space that says which of its parts depend on which decisions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs.scopes import MAX_COMBINATIONS, Probabilities, closed_scope, combinations, n_combinations
from archwright.costs.whole import WholeCounts
from archwright.spaces.base import Space
from archwright.spaces.pieces import CostPiece

N_CHECKED = 2
SUMMED = frozenset(["params", "macs", "model_size_bytes"])
"""Figures of a network that are those of its parts added up, however parts are joined."""


class PieceTables:
    """Costs of any rows of a space with cost pieces (see `Space.cost_pieces`).

    Each form of a part is counted once, when it is first asked for. Sums are compared with networks counted as a
    whole when the tables are made.

    Args:
        space: The space.
        columns: Attributes of `Count`.

    Attributes:
        is_additive: Whether rows are looked up; where a column is no sum of parts, each arch is counted, once.

    Raises:
        SpaceError: If the pieces do not add up to what whole networks cost.
    """

    def __init__(self, space: Space, columns: tuple[str, ...]) -> None:
        self.space, self.columns, self.decisions = space, columns, space.decisions
        self.is_additive = set(columns) <= SUMMED
        self._pieces = list(space.cost_pieces() or ())
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
        for piece in self._pieces:
            n_values = self._n_values(piece)
            codes = np.zeros(len(rows), dtype=np.int64)
            for name, n in zip(piece.names, n_values, strict=True):
                column = rows[:, self.decisions.position(name)]
                codes = codes * n + np.where(column < 0, n - 1, column)
            found, inverse = _distinct(codes, math.prod(n_values))
            total += np.array([self._of(piece, np.unravel_index(code, n_values)) for code in found])[inverse]
        return total

    def expected(self, probabilities: Probabilities, column: str) -> Tensor:
        """The mean of a column when every decision is drawn on its own; see `ScopeTables.expected`.

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

    def _n_values(self, piece: CostPiece) -> list[int]:
        """How many values each of its decisions has, "inactive" being one more where it may be so."""
        decisions = [self.decisions[name] for name in piece.names]
        return [len(decision.values) + bool(decision.when) for decision in decisions]

    def _of(self, piece: CostPiece, indices: Sequence[int]) -> NDArray[np.float64]:
        known = [self.decisions[name].values for name in piece.names]
        pairs = zip(known, map(int, indices), strict=True)
        values = tuple(given[i] if 0 <= i < len(given) else None for given, i in pairs)
        total = np.zeros(len(self.columns))
        for key in piece.keys(values):
            if key not in self._forms:
                with torch.device("meta"):
                    module, shape = piece.form(key)
                self._forms[key] = self._whole.of_module(module, shape)
            total += self._forms[key]
        return total


def _distinct(codes: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different ones among codes below n, ascending, and the place of each code among them."""
    if n > MAX_COMBINATIONS:
        found, inverse = np.unique(codes, return_inverse=True)
        return found, inverse
    is_there = np.zeros(n, dtype=bool)
    is_there[codes] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[codes]
