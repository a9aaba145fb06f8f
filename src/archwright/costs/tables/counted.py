"""Counted costs of whole populations from tables, without building a network.

Modules of equal scope (see `costs.tables.scopes`) share one array of terms; the cost of a row is a constant plus one
look-up for each scope. Terms are counted when they are first needed, by running the supernet on the meta device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, RunError
from archwright.costs.counting.count import Count, Leaf, count
from archwright.costs.tables.formulas import FormulaTables
from archwright.costs.tables.pieces import SUMMED, PieceTables
from archwright.costs.tables.scopes import Probabilities, Scope, ScopeTables
from archwright.nn.choice import Supernet, selection_of
from archwright.nn.choice.modules import ChoiceModule
from archwright.nn.sizes import lazies_in
from archwright.spaces.base import Space

COLUMNS = ("params", "macs")
"""The figures that tables hold by default."""

MEMORY_ACCESS, ACTIVATION_PEAK = "memory_access_bytes", "activation_peak_bytes"
N_CHECKED = 4
BLOCK = 10_000
"""Number of rows that are looked up together."""
MAX_CELLS = 1_000_000
N_SPREAD = 64
"""Most archs that are counted in advance when most terms will be needed."""

MANY_ROWS = 16
"""From this many rows on, most terms will be needed."""


class RowCounts:
    """Figures of single archs, each counted once on the meta device.

    Args:
        space: The space.
        columns: Names of attributes of `Count`.

    Attributes:
        network: The supernet that is counted.
        memory: Whether one of the columns needs the tensors of a pass to be tracked.
    """

    def __init__(self, space: Space, columns: tuple[str, ...]) -> None:
        with space.shapes_only():
            self.network = space.network(Supernet()).eval()
        self.memory = not {MEMORY_ACCESS, ACTIVATION_PEAK}.isdisjoint(columns)
        self._columns, self._signature = columns, space.signature
        self._selection = selection_of(self.network)
        self._known: dict[bytes, list[float]] = {}

    def count(self, row: NDArray[Any]) -> Count:
        """All counted figures of one arch (n_decisions,)."""
        self._selection.activate_row(row)
        return count(self.network, self._signature, memory=self.memory)

    def cost_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Costs (n, n_columns), in the order of the columns."""
        return np.array([self._of(row) for row in rows], dtype=np.float64).reshape(len(rows), len(self._columns))

    def _of(self, row: NDArray[Any]) -> list[float]:
        key = row.tobytes()
        if key not in self._known:
            counted = self.count(row)
            self._known[key] = [float(getattr(counted, column)) for column in self._columns]
        return self._known[key]


class CostTables:
    """Counted figures of any rows of one space.

    The tables check that the space is additive in its scopes, against networks built and counted one by one, when
    they are made and at every later measurement. If it is not, every arch is counted once, which is exact but takes
    tens of milliseconds. An example is the memory access of a cell whose sums leave out zeros.

    The memory that a module without sizes of its own moves, such as a ReLU, depends on its input. For that column its
    scope also holds the decisions that the shape of its inputs depends on, as seen when it runs.

    Args:
        space: The space.
        columns: Names of attributes of `Leaf` and `Count`.

    Attributes:
        is_additive: Whether rows are looked up.
    """

    def __init__(self, space: Space, columns: tuple[str, ...] = COLUMNS) -> None:
        self.space, self.columns = space, columns
        self.decisions = space.decisions
        self._counts = RowCounts(space, columns)
        self._network = self._counts.network
        # which edges are summed changes no shape
        sized = ((path, m) for path, m in self._network.named_modules() if not isinstance(m, ChoiceModule))
        self._sizes = {path: _sizes_read(module) for path, module in sized}
        self._scopes = {path: self._scope(names) for path, names in _scopes(self._network).items()}
        self._terms = self._empty_terms()
        self._is_spread = False
        self._covered: ScopeTables | None = None  # which tables have every term
        self.is_additive = True  # what `_check` looks up, and may refute, on its way
        self.is_additive = self._check() and self.is_additive

    def cost_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Costs (n, n_columns), in the order of `columns`."""
        # in blocks, because all rows of one are looked up again for each term that is missing
        found = [self._looked_up(rows[start : start + BLOCK]) for start in range(0, len(rows) or 1, BLOCK)]
        return np.concatenate(found) if self.is_additive else self._counts.cost_rows(rows)

    def _looked_up(self, rows: Rows) -> NDArray[np.float64]:
        """The same for few rows, for as long as there are tables."""
        while self.is_additive:
            total, missing = self._terms.look_up(rows)
            if missing is None:
                return total
            if len(rows) >= MANY_ROWS and not self._is_spread:
                self._is_spread = True
                self._measure_all(self._terms.spread_rows(N_SPREAD))
            else:
                self._measure(rows[missing])
        return np.empty((0, len(self.columns)))

    def expected(self, probabilities: Probabilities, column: str) -> Tensor:
        """The expected value of a column if every decision is drawn independently; see `ScopeTables.expected`.

        Raises:
            InvalidValueError: If the space is not additive in it, or probabilities do not fit.
        """
        if self.is_additive and self._covered is not self._terms:
            self.cost_rows(self._terms.covering_rows())
            self._covered = self._terms
        if not self.is_additive:
            raise InvalidValueError(
                f"{column} of space {self.space.name!r} is no sum of terms of few decisions; it has no expected value"
            )
        return self._terms.expected(probabilities, self.columns.index(column))

    def _measure_all(self, rows: Rows) -> None:
        """Those of some rows that hold terms not yet known."""
        for row in rows:
            if self.is_additive and self._terms.look_up(row[None])[1] is not None:
                self._measure(row)

    def _measure(self, row: NDArray[Any]) -> None:
        """Fill the term of every scope that this row reads; one that was known and now differs ends the tables."""
        counted = self._counts.count(row)
        if self._widen(counted.leaves):
            self.is_additive = self._terms.n_cells <= MAX_CELLS
        terms = {scope: np.zeros(len(self.columns)) for scope in self._terms.scopes}
        for path, leaf in counted.leaves.items():
            terms[self._scopes.get(path, ())] += self._values(leaf)
        if not self._terms.put(row, terms):
            self.is_additive = False

    def _widen(self, leaves: Mapping[str, Leaf]) -> bool:
        """Take what inputs depend on into scopes; where one grows, terms known so far are void."""
        if MEMORY_ACCESS not in self.columns:
            return False
        grown = False
        for path in leaves:
            sources = frozenset().union(*(self._shape_decisions(source, leaves) for source in leaves[path].reads_from))
            wider = self._scope(sources, self._scopes.get(path, ()))
            grown |= wider != self._scopes.get(path, ())
            self._scopes[path] = wider
        if grown:
            self._terms = self._empty_terms()
        return grown

    def _shape_decisions(self, path: str, leaves: Mapping[str, Leaf], seen: frozenset[str] = frozenset()) -> set[str]:
        """Decisions that the shape of a module's result depends on: those of its sizes, or of what it reads."""
        own = self._sizes.get(path, frozenset())
        if own or path in seen or leaves[path].macs:  # a convolution of plain sizes gives a plain shape
            return set(own)
        return {
            name for source in leaves[path].reads_from for name in self._shape_decisions(source, leaves, seen | {path})
        }

    def _scope(self, names: frozenset[str] | set[str], more: Scope = ()) -> Scope:
        return tuple(sorted({*more, *(self.decisions.position(name) for name in names)}))

    def _count_built(self, row: NDArray[Any]) -> list[float]:
        with self.space.shapes_only():
            network = self.space.build(self.decisions.arch(row))
        counted = count(network, self.space.signature, memory=self._counts.memory)
        return [float(getattr(counted, column)) for column in self.columns]

    def _check(self) -> bool:
        """Whether look-ups agree with counting for archs the tables were not filled from."""
        rng = np.random.default_rng(0)
        if self._terms.n_cells > MAX_CELLS:
            return False
        self.cost_rows(self._terms.corner_rows())
        rows = self.decisions.sample(N_CHECKED, rng)
        return bool((self.cost_rows(rows) == [self._count_built(row) for row in rows]).all())

    def _values(self, leaf: Leaf) -> NDArray[np.float64]:
        return np.array([float(getattr(leaf, column)) for column in self.columns])

    def _empty_terms(self) -> ScopeTables:
        return ScopeTables(self.decisions, self._scopes.values(), len(self.columns))


def _scopes(network: nn.Module) -> dict[str, frozenset[str]]:
    """Decisions that each module's own cost depends on, by its path."""
    scopes = {}

    def visit(module: nn.Module, path: str, above: frozenset[str]) -> None:
        scopes[path] = above | _sizes_read(module)
        below = above | {module.decision} if isinstance(module, ChoiceModule) else above
        for name, child in module.named_children():
            visit(child, f"{path}.{name}" if path else name, below)

    visit(network, "", frozenset())
    return scopes


def _sizes_read(module: nn.Module) -> frozenset[str]:
    """Decisions behind the lazy sizes a module holds."""
    return frozenset().union(*(size.decisions for size in lazies_in(module)))


Tables = CostTables | PieceTables | FormulaTables


def tables_of(space: Space, columns: tuple[str, ...] = COLUMNS) -> Tables:
    """The space's tables of these columns, made once for each space object.

    Raises:
        RunError: If the network cannot be run for its shapes.
    """
    # kept on the space: tables hold their space, so a dictionary beside it, even a weak one, would never let go
    kept: dict[tuple[str, ...], Tables] = vars(space).setdefault("_cost_tables", {})
    if columns not in kept:
        try:
            kept[columns] = _tables_class(space, columns)(space, columns)
        except NotImplementedError as error:
            raise RunError(f"the network of space {space.name!r} cannot be counted: {error}") from error
    return kept[columns]


def _tables_class(space: Space, columns: tuple[str, ...]) -> type[Tables]:
    if space.cost_formula() is not None:
        return FormulaTables
    gives_pieces = space.cost_pieces() is not None
    return PieceTables if gives_pieces and (set(columns) <= SUMMED or not space.counts_supernet) else CostTables
