"""Costs of whole populations from tables, without building a network.

What one module of a network costs depends on few decisions: those under which it runs and those its sizes
read. That set is its *scope*. Modules of equal scope share one array indexed by the values of the scope's
decisions (one entry more for "inactive"); the cost of a row is a constant plus one look-up a scope. Entries
are measured when they are first asked for, by counting the supernet on the meta device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import RunError
from archwright.costs.count import Leaf, count
from archwright.nn.choice import Supernet, selection_of
from archwright.nn.choice.modules import ChoiceModule
from archwright.nn.sizes import lazies_in
from archwright.spaces.base import Space

COLUMNS = ("params", "macs")
N_CHECKED = 4
MAX_CELLS = 1_000_000

Scope = tuple[int, ...]


class CostTables:
    """Parameters and multiply–accumulates of any rows of one space.

    Whether the space is additive in its scopes is checked against networks built and counted one by one when
    the tables are made, and at every later measurement; where it is not, every row is counted that way (exact,
    but slow).

    Attributes:
        is_additive: Whether rows are looked up.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.decisions = space.decisions
        with torch.device("meta"):
            self._network = space.network(Supernet())
        self._selection = selection_of(self._network)
        self._scopes = _scopes(self._network, self.decisions)
        self._tables = {scope: self._empty(scope) for scope in {*self._scopes.values(), ()}}
        self.is_additive = True  # what `_check` looks up, and may refute, on its way
        self.is_additive = self._check() and self.is_additive

    def cost_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Costs (n, 2), in the order of `COLUMNS`."""
        while self.is_additive:
            total, missing = self._look_up(rows)
            if missing is None:
                return total
            self._measure(rows[missing])
        return np.array([self._count_one(row) for row in rows]).reshape(len(rows), len(COLUMNS))

    def _look_up(self, rows: Rows) -> tuple[NDArray[np.float64], int | None]:
        """Sum of the tables, and the first row that meets an entry not yet measured."""
        total = np.zeros((len(rows), len(COLUMNS)))
        for scope, table in self._tables.items():
            total += table[tuple(rows[:, column] for column in scope)]
        missing = np.isnan(total[:, 0])
        return total, int(missing.argmax()) if missing.any() else None

    def _measure(self, row: NDArray[Any]) -> None:
        """Fill the entry of every scope that this row reads; one that was known and now differs ends the tables."""
        self._selection.activate_row(row)
        found: dict[Scope, NDArray[np.float64]] = {scope: np.zeros(len(COLUMNS)) for scope in self._tables}
        for path, leaf in count(self._network, self.space.input_shape).leaves.items():
            found[self._scopes.get(path, ())] += _values(leaf)
        for scope, values in found.items():
            entry = self._tables[scope][tuple(row[list(scope)])]
            if not np.isnan(entry[0]) and (entry != values).any():
                self.is_additive = False
            entry[:] = values

    def _count_one(self, row: NDArray[Any]) -> list[float]:
        with torch.device("meta"):
            network = self.space.build(self.decisions.arch(row))
        counted = count(network, self.space.input_shape)
        return [float(getattr(counted, column)) for column in COLUMNS]

    def _check(self) -> bool:
        """Whether look-ups agree with counting for archs the tables were not filled from."""
        rng = np.random.default_rng(0)
        if sum(table.size for table in self._tables.values()) > MAX_CELLS:
            return False
        self.cost_rows(self._corner_rows())
        rows = self.decisions.sample(N_CHECKED, rng)
        return bool((self.cost_rows(rows) == [self._count_one(row) for row in rows]).all())

    def _corner_rows(self) -> Rows:
        """Archs in which every decision takes its v-th value, for each v: they fill all scopes of one decision."""
        n_values = self.decisions.n_values
        full = np.stack([np.minimum(v, n_values - 1) for v in range(n_values.max(initial=1))])
        return self.decisions.canonical(full)

    def _empty(self, scope: Scope) -> NDArray[np.float64]:
        return np.full([int(self.decisions.n_values[column]) + 1 for column in scope] + [len(COLUMNS)], np.nan)


def _values(leaf: Leaf) -> NDArray[np.float64]:
    return np.array([float(getattr(leaf, column)) for column in COLUMNS])


def _scopes(network: nn.Module, decisions: DecisionSpace) -> dict[str, Scope]:
    """Columns of the decisions that each module's own cost depends on, by its path."""
    scopes = {}

    def visit(module: nn.Module, path: str, above: frozenset[str]) -> None:
        own = above | _sizes_read(module)
        scopes[path] = tuple(sorted(decisions.position(name) for name in own))
        below = above | {module.decision} if isinstance(module, ChoiceModule) else above
        for name, child in module.named_children():
            visit(child, f"{path}.{name}" if path else name, below)

    visit(network, "", frozenset())
    return scopes


def _sizes_read(module: nn.Module) -> frozenset[str]:
    """Decisions behind the lazy sizes a module holds."""
    return frozenset().union(*(size.decisions for size in lazies_in(module)))


def tables_of(space: Space) -> CostTables:
    """The space's tables, made once a space object.

    Raises:
        RunError: If the network cannot be run on the meta device.
    """
    # kept on the space: tables hold their space, so a dictionary beside it, even a weak one, would never let go
    kept = vars(space)
    if "_cost_tables" not in kept:
        try:
            kept["_cost_tables"] = CostTables(space)
        except NotImplementedError as error:
            raise RunError(f"the network of space {space.name!r} cannot be counted: {error}") from error
    tables: CostTables = kept["_cost_tables"]
    return tables
