"""Counted costs of populations, for a space that has a formula for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs.tables.scopes import Probabilities
from archwright.costs.tables.whole_networks import WholeCounts
from archwright.spaces.base import Space

N_CHECKED = 3


class FormulaTables:
    """Costs of any rows of a space with a cost formula (see `Space.cost_formula`).

    The formula is compared with networks counted as a whole when the tables are made. Columns that it does not give are
    counted once for each arch.

    Args:
        space: The space.
        columns: Names of attributes of `Count`.

    Attributes:
        is_additive: Whether rows are computed by the formula, in microseconds each.

    Raises:
        SpaceError: If the formula disagrees with the counted networks.
    """

    def __init__(self, space: Space, columns: tuple[str, ...]) -> None:
        self.space, self.columns = space, columns
        formula = space.cost_formula()
        assert formula is not None
        self._formula = formula
        rows = space.decisions.sample(N_CHECKED, np.random.default_rng(0))
        self.is_additive = set(columns) <= set(formula(rows[:0]))
        self._whole = WholeCounts(space, columns, memory=not self.is_additive)
        if self.is_additive and not (self.cost_rows(rows) == self._whole.cost_rows(rows)).all():
            raise SpaceError(f"the cost formula of space {space.name!r} is not what its networks cost")

    def cost_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Costs (n, n_columns), in the order of `columns`."""
        if not self.is_additive:
            return self._whole.cost_rows(rows)
        found = self._formula(rows)
        return np.stack([found[column] for column in self.columns], axis=1)

    def expected(self, probabilities: Probabilities, column: str) -> Tensor:
        """Refused: only additive tables have an expected value, and a formula is not additive.

        Raises:
            InvalidValueError: Always.
        """
        raise InvalidValueError(
            f"{column} of space {self.space.name!r} is no sum of terms of few decisions; it has no expected value"
        )
