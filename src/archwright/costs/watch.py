"""Costs watched during a search: their values for populations, and whether limits can be met at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from archwright.core import catalog
from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InfeasibleError
from archwright.core.objective import Constraint, Objective
from archwright.costs.base import Cost
from archwright.nn.inputs import shape_text
from archwright.spaces.base import Space

RowValues = Callable[[Rows], NDArray[np.float64]]
N_STARTS, N_SLOW_STARTS = 32, 3
MAX_SWEEPS = 50
N_DRAWS, N_DRAWN = 4, 8
MAX_LISTED = 1000
"""In spaces with at most this many archs, the smallest value is found by trying all."""


def open_costs(names: Sequence[str], known: Sequence[Cost] = ()) -> list[Cost]:
    """Costs by catalogue name, each once.

    Args:
        names: Names of the costs.
        known: Costs that are open already; they are used for their names.

    Raises:
        UnknownNameError: If there is no such cost; offers the nearest.
    """
    by_name = {cost.name: cost for cost in known}
    return [by_name.get(name) or catalog.load("cost", name)() for name in dict.fromkeys(names)]


class Watch:
    """The costs of a search, computed for rows of its space.

    Args:
        space: The space; costs are those of its stand-alone networks.
        costs: The costs to watch.
    """

    def __init__(self, space: Space, costs: Sequence[Cost]) -> None:
        self.space = space
        self.costs = {cost.name: cost for cost in costs}

    def values(self, rows: Rows) -> dict[str, NDArray[np.float64]]:
        """The value of each cost by name, one array (n,) for the rows (n, n_decisions)."""
        return {name: cost.cost_rows(self.space, rows) for name, cost in self.costs.items()}

    def feasible(self, objective: Objective) -> Callable[[Rows], NDArray[np.bool_]]:
        """A function that says which rows keep the objective's limits, as a mask (n,)."""

        def keeps_limits(rows: Rows) -> NDArray[np.bool_]:
            limited = {name: self.costs[name].cost_rows(self.space, rows) for name in objective.costs}
            return objective.feasible(limited, len(rows))

        return keeps_limits

    def check_reachable(self, objective: Objective) -> None:
        """Refuse a limit that no architecture meets.

        Raises:
            InfeasibleError: If there is one; the message has the limit and the smallest reachable value.
        """
        for constraint in objective.constraints:
            if self._is_met_by_chance(constraint):
                continue
            smallest = self.smallest(constraint.cost)
            if smallest > constraint.limit:
                shape = shape_text(self.space.signature)
                raise InfeasibleError(
                    f"no architecture of space {self.space.name!r} at input {shape} "
                    f"has {constraint.cost} <= {constraint.limit:,.10g}; "
                    f"the smallest reachable is {smallest:,.10g}, so give at least that",
                    f"the smallest member has {constraint.cost} {smallest:,.10g}",
                )

    def _is_met_by_chance(self, constraint: Constraint) -> bool:
        """Whether one of a few random archs meets a limit: looking for the smallest takes a while where costs do."""
        rng = np.random.default_rng(0)
        drawn = (self.space.decisions.sample(N_DRAWN, rng) for _ in range(N_DRAWS))
        cost = self.costs[constraint.cost]
        return any((cost.cost_rows(self.space, rows) <= constraint.limit).any() for rows in drawn)

    def smallest(self, name: str) -> float:
        """The smallest value of a watched cost that `lowest_row` finds in the space."""
        n_starts = N_STARTS if self.costs[name].is_summed(self.space) else N_SLOW_STARTS
        return float(self.costs[name].cost_rows(self.space, self.cheapest(name, n_starts)[None])[0])

    def cheapest(self, name: str, n_starts: int) -> Rows:
        """The row (n_decisions,) of the smallest value of a watched cost, as `lowest_row` finds it.

        Args:
            name: Of the cost.
            n_starts: Descents that look for it.
        """
        values = partial(self.costs[name].cost_rows, self.space)
        return lowest_row(self.space.decisions, values, np.random.default_rng(0), n_starts=n_starts)


def lowest_row(
    decisions: DecisionSpace, values: RowValues, rng: np.random.Generator, *, n_starts: int = N_STARTS
) -> Rows:
    """A row (n_decisions,) of smallest value, by trying all rows of a small space, else by coordinate descent.

    The result is exact for up to `MAX_LISTED` archs, and if the value is a sum with one term for each decision. In
    other cases it is a very good row.

    Args:
        decisions: The space.
        values: Gives the values (n,) of rows (n, n_decisions).
        rng: Draws the rows from which the descents start.
        n_starts: Number of descents.
    """
    is_small = decisions.size() <= MAX_LISTED
    rows = decisions.enumerate_rows() if is_small else _descend(decisions, values, rng, n_starts)
    best: Rows = rows[int(values(rows).argmin())]
    return best


def _descend(decisions: DecisionSpace, values: RowValues, rng: np.random.Generator, n_starts: int) -> Rows:
    """Rows (n_starts, n_decisions), begun at random, that no change of one decision improves."""
    rows = decisions.sample(n_starts, rng)
    for _ in range(MAX_SWEEPS):
        before = rows
        for column in range(len(decisions)):
            rows = _best_values(decisions, rows, column, values, rng)
        if (rows == before).all():
            break
    return rows


def _best_values(
    decisions: DecisionSpace, rows: Rows, column: int, values: RowValues, rng: np.random.Generator
) -> Rows:
    """Each row with the best value at one decision; what a new value activates is filled at random."""
    n_values = int(decisions.n_values[column])
    options = np.repeat(rows, n_values + 1, axis=0).reshape(len(rows), n_values + 1, -1).astype(np.int64)
    filler = (rng.random(options.shape) * decisions.n_values).astype(np.int64)
    full = np.where(options < 0, filler, options)
    full[:, :n_values, column] = np.where(rows[:, column, None] < 0, full[:, :n_values, column], np.arange(n_values))
    flat = decisions.canonical(full.reshape(-1, rows.shape[1]))
    costs = values(flat).reshape(len(rows), n_values + 1)
    # the last option is the row as it was; argmin prefers it only when it is strictly best, so put it first
    order = np.concatenate([costs[:, -1:], costs[:, :-1]], axis=1).argmin(axis=1) - 1
    chosen: Rows = flat.reshape(len(rows), n_values + 1, -1)[np.arange(len(rows)), order]
    return chosen
