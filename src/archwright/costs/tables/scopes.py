"""Sums of terms that depend on few decisions each: looked up for whole populations, and their expected value.

The cost of one part of a network depends on the decisions under which it runs and those its sizes read: its *scope*.
A term is kept for every combination of a scope's values, where "inactive" is one more value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InvalidValueError

Scope = tuple[int, ...]
"""The columns of some decisions, ascending."""

Terms = Mapping[Scope, NDArray[np.float64]]
Probabilities = Mapping[str, Any]
"""For each decision by name: the probability of each of its values if it is active, as a tensor, array or list."""

MAX_COMBINATIONS = 100_000
"""Most combinations of values of a scope that can be listed in full."""


class ScopeTables:
    """For each scope an array of terms, indexed by the values of its decisions; unknown terms are NaN.

    Args:
        decisions: The space's decisions.
        scopes: The scopes; the empty scope, for what no decision changes, is always added.
        n_columns: How many sums are kept side by side.
    """

    def __init__(self, decisions: DecisionSpace, scopes: Iterable[Scope], n_columns: int) -> None:
        self.decisions, self.n_columns = decisions, n_columns
        self._tables = {scope: self._empty(scope) for scope in sorted({*scopes, ()})}
        self._sums: _Sums | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes, in order."""
        return tuple(self._tables)

    @property
    def n_cells(self) -> int:
        """How many numbers the tables hold."""
        return sum(table.size for table in self._tables.values())

    def look_up(self, rows: Rows) -> tuple[NDArray[np.float64], int | None]:
        """Sums (n, n_columns) of rows (n, n_decisions), and the index of the first row with an unknown term, if any."""
        total = np.zeros((len(rows), self.n_columns))
        for scope, table in self._tables.items():
            total += table[tuple(rows[:, column] for column in scope)]
        missing = np.isnan(total[:, 0])
        return total, int(missing.argmax()) if missing.any() else None

    def term(self, scope: Scope, row: NDArray[Any]) -> NDArray[np.float64]:
        """The term (n_columns,) of one scope for one row (n_decisions,)."""
        found: NDArray[np.float64] = self._tables[scope][tuple(row[list(scope)])]
        return found

    def put(self, row: NDArray[Any], terms: Terms) -> bool:
        """Keep the terms of one row; False if a known term differs, which shows that the cost is no such sum."""
        agrees, self._sums = True, None
        for scope, values in terms.items():
            entry = self.term(scope, row)
            agrees &= bool(np.isnan(entry[0]) or (entry == values).all())
            entry[:] = values
        return agrees

    def keys(self, scope: Scope) -> dict[str, NDArray[np.float64]]:
        """Each term (n_columns,) of a scope by its name (see `entry_key`); the arrays can be written to."""
        self._sums = None  # who writes to the arrays changes the sums
        closed = closed_scope(self.decisions, scope)
        places = [closed.index(column) for column in scope]
        values = np.unique(combinations(self.decisions, closed)[:, places], axis=0)
        return {entry_key(self.decisions, scope, row): self._tables[scope][tuple(row)] for row in values}

    def corner_rows(self) -> Rows:
        """For each v an arch in which every decision has its v-th value; together they have all one-decision terms."""
        n_values = self.decisions.n_values
        full = np.stack([np.minimum(v, n_values - 1) for v in range(n_values.max(initial=1))])
        return self.decisions.canonical(full)

    def covering_rows(self) -> Rows:
        """Archs that together have every term; those of `corner_rows` come first.

        Raises:
            InvalidValueError: If a scope has too many combinations.
        """
        found = [self.corner_rows()]
        for scope in self._tables:
            closed = closed_scope(self.decisions, scope)
            part = combinations(self.decisions, closed)
            full = np.zeros((len(part), len(self.decisions)), dtype=np.int16)
            full[:, list(closed)] = np.maximum(part, 0)
            found.append(self.decisions.canonical(full))
        return np.concatenate(found)

    def spread_rows(self, most: int) -> Rows:
        """At most `most` archs that together have many terms: arch k has combination k of as many scopes as possible.

        They have all terms if scopes share no decision and have at most `most` combinations each; else fewer, or none.
        """
        full = np.zeros((most, len(self.decisions)), dtype=np.int16)
        free, n_rows = set(range(len(self.decisions))), 1
        for closed in sorted({closed_scope(self.decisions, scope) for scope in self._tables}, key=len, reverse=True):
            if closed and free.issuperset(closed) and n_combinations(self.decisions, closed) <= most:
                part = combinations(self.decisions, closed)
                full[:, list(closed)] = np.maximum(part[np.arange(most) % len(part)], 0)
                free, n_rows = free - set(closed), max(n_rows, len(part))
        return self.decisions.canonical(full[:n_rows])

    def expected(self, probabilities: Probabilities, column: int = 0) -> Tensor:
        """The expected value of a sum if every decision is drawn independently.

        Differentiable in probabilities that are tensors.

        Args:
            probabilities: Probabilities of each decision that the sum depends on.
            column: Which sum.

        Returns:
            A float64 scalar.

        Raises:
            InvalidValueError: If a decision has no probabilities or not one for each value, or a term is unknown.
        """
        if self._sums is None:
            self._sums = _Sums.of(self.decisions, self._tables)
        sums = self._sums
        given = [self._given(probabilities, c) if c in sums.columns else _NOTHING for c in range(len(self.decisions))]
        chances = torch.cat([*given, torch.ones(1, dtype=torch.float64)])[sums.places].prod(1)
        return (chances * torch.from_numpy(sums.terms[:, column])).sum()

    def _given(self, probabilities: Probabilities, column: int) -> Tensor:
        decision = self.decisions.decisions[column]
        if decision.name not in probabilities:
            raise InvalidValueError(f"there are no probabilities of decision {decision.name!r}; give one a value")
        given = torch.as_tensor(probabilities[decision.name]).to("cpu", torch.float64)
        if given.shape != (len(decision.values),):
            raise InvalidValueError(
                f"probabilities of decision {decision.name!r} have shape {tuple(given.shape)}; "
                f"give one for each of its {len(decision.values)} values"
            )
        return given

    def _empty(self, scope: Scope) -> NDArray[np.float64]:
        return np.full([int(self.decisions.n_values[c]) + 1 for c in scope] + [self.n_columns], np.nan)


_NOTHING = torch.empty(0, dtype=torch.float64)


@dataclass(frozen=True)
class _Sums:
    """All terms of some tables in one array, each with the probabilities whose product is its chance.

    Attributes:
        terms: (n, n_columns).
        places: (n, longest scope) where the probabilities stand, those of all decisions in `columns` one after the
            other; the last place holds a 1.
        columns: Decisions that a term depends on.
    """

    terms: NDArray[np.float64]
    places: Tensor
    columns: frozenset[int]

    @classmethod
    def of(cls, decisions: DecisionSpace, tables: Mapping[Scope, NDArray[np.float64]]) -> _Sums:
        """Those of all scopes.

        Raises:
            InvalidValueError: If a term is unknown.
        """
        scopes = {scope: closed_scope(decisions, scope) for scope in tables}
        columns = frozenset(column for closed in scopes.values() for column in closed)
        sizes = [int(n) if c in columns else 0 for c, n in enumerate(decisions.n_values)]
        first, one = np.concatenate([[0], np.cumsum(sizes)]), sum(sizes)
        longest = max(map(len, scopes.values()))
        found, places = [], []
        for scope, closed in scopes.items():
            part = combinations(decisions, closed)
            terms = tables[scope][tuple(part[:, closed.index(c)] for c in scope)].reshape(len(part), -1)
            if np.isnan(terms).any():
                row = part[int(np.isnan(terms).any(axis=1).argmax())]
                text = entry_key(decisions, closed, row) or "the fixed part"
                raise InvalidValueError(f"the cost of {text} is not known; measure it first")
            own = np.full((len(part), longest), one, dtype=np.int64)
            own[:, : len(closed)] = np.where(part >= 0, part + first[list(closed)], one)
            found.append(terms)
            places.append(own)
        return cls(np.concatenate(found), torch.from_numpy(np.concatenate(places)), columns)


def closed_scope(decisions: DecisionSpace, scope: Iterable[int]) -> Scope:
    """A scope together with all decisions on which it depends whether the scope's own are active."""
    found, waiting = set(scope), list(scope)
    while waiting:
        decision = decisions.decisions[waiting.pop()]
        above = {decisions.position(c.decision) for context in decision.when for c in context}
        waiting += above - found
        found |= above
    return tuple(sorted(found))


def n_combinations(decisions: DecisionSpace, scope: Iterable[int]) -> int:
    """How many combinations of values the decisions of a scope have, after closing it (see `closed_scope`)."""
    return DecisionSpace([decisions.decisions[column] for column in closed_scope(decisions, scope)]).size()


def combinations(decisions: DecisionSpace, closed: Scope) -> Rows:
    """All combinations of values (n, len(closed)) of the decisions of a closed scope."""
    part = DecisionSpace([decisions.decisions[column] for column in closed])
    if part.size() > MAX_COMBINATIONS:
        names = ", ".join(decision.name for decision in part)
        raise InvalidValueError(
            f"one part of the network depends on {len(part)} decisions together ({names}): {part.size():,} "
            f"combinations, more than the {MAX_COMBINATIONS:,} that are listed"
        )
    return part.enumerate_rows() if len(part) else np.empty((1, 0), dtype=np.int16)


def entry_key(decisions: DecisionSpace, scope: Sequence[int], values: Sequence[int]) -> str:
    """A term's name: `decision=value` for each decision of its scope, `decision=-` for an inactive one.

    Args:
        decisions: The space's decisions.
        scope: Columns of the scope's decisions.
        values: Value indices, one for each column of the scope.
    """
    pairs = []
    for column, index in zip(scope, values, strict=True):
        decision = decisions.decisions[column]
        value = decision.values[index] if index >= 0 else "-"
        text = "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
        pairs.append(f"{decision.name}={text}")
    return ",".join(pairs)
