"""A search space as pure data: named decisions, their values, and when they matter.

An arch is a *row* of value indices, one column a decision, −1 where the decision is inactive; all work on
populations is array work on `(n, n_decisions)` rows. Counting and uniform sampling use one dynamic program
over the decisions in their order. Its state is not the values chosen so far but the truth of those
conditions that later decisions still need, so it stays tiny where the number of archs is astronomic.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archwright.core.arch import Arch, Value
from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError, UnknownNameError

Rows = NDArray[np.int16]
"""Archs as an array (n, n_decisions) of value indices, −1 for inactive decisions."""

Kind = Literal["op", "number", "repeat", "inputs"]

MAX_STATES = 100_000
_START = np.empty((1, 0), dtype=np.int16), np.zeros(1, dtype=np.int32)


@dataclass(frozen=True)
class Condition:
    """Holds when the named decision is active and has one of the allowed values."""

    decision: str
    allowed: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.decision} in {{{', '.join(map(str, self.allowed))}}}"


Context = tuple[Condition, ...]
"""Conditions that must all hold for a decision to be active."""


@dataclass(frozen=True)
class Decision:
    """One thing to choose.

    Attributes:
        name: Unique in its space.
        values: What may be chosen, in a fixed order; an arch's row holds positions in it.
        kind: What it chooses: a candidate operation, a number, a block count, or a subset of inputs.
        when: The decision is active if any of these contexts holds; empty means always.
    """

    name: str
    values: tuple[Value, ...]
    kind: Kind = "op"
    when: tuple[Context, ...] = ()

    def __post_init__(self) -> None:
        if not self.values:
            raise SpaceError(f"decision {self.name!r} has no values; give at least one")
        if len(set(self.values)) != len(self.values):
            raise SpaceError(f"decision {self.name!r} lists a value twice: {list(self.values)}")
        if len(self.values) > np.iinfo(np.int16).max:
            raise SpaceError(f"decision {self.name!r} has {len(self.values)} values; at most {np.iinfo(np.int16).max}")

    def index(self, value: Value) -> int:
        """Position of a value.

        Raises:
            InvalidArchError: If it is none of the values.
        """
        try:
            return self.values.index(value)
        except ValueError:
            accepted = ", ".join(map(repr, self.values))
            raise InvalidArchError(f"decision {self.name!r} has no value {value!r}; choose one of {accepted}") from None


@dataclass(frozen=True)
class Layer:
    """One step of the dynamic program: what each state allows at one decision, and where it leads.

    Attributes:
        active: (n_states,) whether the decision is active.
        follow: (n_states, n_values + 1) next state for each value; the last column is "inactive".
        counts: Completions from here, exact, one Python integer a state.
    """

    active: NDArray[np.bool_]
    follow: NDArray[np.int32]
    counts: list[int]

    @property
    def is_plain(self) -> bool:
        """Whether the decision is always active and changes nothing for later ones."""
        return len(self.active) == 1 and bool(self.active[0]) and not self.follow[0, :-1].any()


class DecisionSpace:
    """Named decisions with conditions; knows its exact size, draws, enumerates and checks archs.

    >>> space = DecisionSpace([
    ...     Decision("op", ("conv", "pool")),
    ...     Decision("kernel", (3, 5, 7), "number", when=((Condition("op", ("conv",)),),)),
    ... ])
    >>> space.size()
    4
    >>> space.arch(space.enumerate_rows()[3])
    Arch({'op': 'pool'})

    Raises:
        SpaceError: If a name occurs twice, or a condition names a decision that does not come earlier.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self.decisions = tuple(decisions)
        self.names = tuple(decision.name for decision in self.decisions)
        self._position = {name: i for i, name in enumerate(self.names)}
        if len(self._position) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise SpaceError(f"decision {twice!r} is declared twice; names must be unique")
        self._literals, self._contexts = self._compile()

    def __len__(self) -> int:
        return len(self.decisions)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self.decisions)

    def __getitem__(self, name: str) -> Decision:
        try:
            return self.decisions[self._position[name]]
        except KeyError:
            raise UnknownNameError("decision", name, self.names) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DecisionSpace) and self.decisions == other.decisions

    def __hash__(self) -> int:
        return hash(self.decisions)

    def position(self, name: str) -> int:
        """Column of a decision in rows."""
        return self._position[self[name].name]

    @functools.cached_property
    def n_values(self) -> NDArray[np.int64]:
        """How many values each decision has, shape (n_decisions,)."""
        return np.array([len(decision.values) for decision in self.decisions], dtype=np.int64)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digest of all names, values and conditions: equal for spaces with equal decisions."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        """One object a decision: name, kind, values, when."""
        return [
            {
                "name": decision.name,
                "kind": decision.kind,
                "values": [list(v) if isinstance(v, tuple) else v for v in decision.values],
                "when": [
                    {c.decision: [list(v) if isinstance(v, tuple) else v for v in c.allowed] for c in context}
                    for context in decision.when
                ],
            }
            for decision in self.decisions
        ]

    # ── archs and rows ────────────────────────────────────────────────────────────────────────────

    def row(self, arch: Mapping[str, Value]) -> Rows:
        """The row (n_decisions,) of one arch.

        Raises:
            UnknownNameError: If the arch names a decision that does not exist.
            InvalidArchError: If a value is unknown, an active decision is missing, or an inactive one is set.
        """
        for name in arch:
            self[name]
        row = np.full(len(self), -1, dtype=np.int16)
        for i, decision in enumerate(self.decisions):
            if decision.when and not self._active(i, row[None])[0]:
                if decision.name in arch:
                    raise InvalidArchError(
                        f"decision {decision.name!r} does not apply here "
                        f"(only when {_when_text(decision)}); leave it out"
                    )
            elif decision.name not in arch:
                raise InvalidArchError(f"decision {decision.name!r} is missing; choose one of {list(decision.values)}")
            else:
                row[i] = decision.index(arch[decision.name])
        return row

    def rows(self, archs: Sequence[Mapping[str, Value]]) -> Rows:
        """Rows (n, n_decisions) of several archs; errors as in `row`."""
        return np.stack([self.row(arch) for arch in archs]) if archs else np.empty((0, len(self)), dtype=np.int16)

    def arch(self, row: NDArray[Any]) -> Arch:
        """The readable form of one row (n_decisions,)."""
        return Arch(self._values(row))

    def _values(self, row: NDArray[Any]) -> dict[str, Value]:
        indices = row.tolist()
        return {d.name: d.values[i] for d, i in zip(self.decisions, indices, strict=True) if i >= 0}

    def archs(self, rows: NDArray[Any]) -> list[Arch]:
        """The readable forms of rows (n, n_decisions), each spelled out when it is first read."""
        return [Arch.later(functools.partial(self._values, row)) for row in np.array(rows)]

    def contains(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows (n, n_decisions) are archs of this space: values in range, exactly the active ones set."""
        rows = np.asarray(rows)
        inside: NDArray[np.bool_] = np.all((rows >= -1) & (rows < self.n_values), axis=1)
        checked = np.where(inside[:, None], rows, -1).astype(np.int16)
        for i in range(len(self)):
            inside &= self._active(i, checked) == (checked[:, i] >= 0)
        return inside

    def canonical(self, rows: NDArray[Any]) -> Rows:
        """Rows with inactive positions set to −1; positions that become active must hold a value.

        Raises:
            InvalidArchError: If an active position is −1.
        """
        result = np.array(rows, dtype=np.int16)
        if not self._literals and (result >= 0).all():
            return result
        for i, decision in enumerate(self.decisions):
            active = self._active(i, result)
            if (result[active, i] < 0).any():
                raise InvalidArchError(f"decision {decision.name!r} is active but has no value")
            result[~active, i] = -1
        return result

    # ── size, enumeration, sampling ───────────────────────────────────────────────────────────────

    def size(self) -> int:
        """The exact number of archs."""
        return self.layers[0].counts[0] if self.decisions else 1

    def enumerate_rows(self, *, limit: int = 1_000_000) -> Rows:
        """All archs as rows, in lexicographic order of their values.

        Raises:
            InvalidValueError: If there are more than `limit`.
        """
        if self.size() > limit:
            raise InvalidValueError(
                f"the space has {self.size()} archs, more than the limit of {limit}; sample instead"
            )
        rows, states = _START
        for i in range(len(self)):
            rows, states = self._extended(rows, states, i, np.arange(self.n_values[i]))
        return rows

    def walk(self, allowed: Sequence[Sequence[int]] | None = None, *, block: int = 1024) -> Iterator[Rows]:
        """All archs in the order of `enumerate_rows`, in arrays of a few thousand rows, made when they are needed.

        The first rows come at once, however large the space is, and no rows are kept.

        Args:
            allowed: For each decision the ascending value indices to walk over; None walks over all.
            block: How many unfinished rows are extended together.
        """
        kept = [np.asarray(v) for v in allowed] if allowed is not None else [np.arange(n) for n in self.n_values]

        def extended(rows: Rows, states: NDArray[np.int32], i: int) -> Iterator[Rows]:
            if i == len(self):
                yield rows
                return
            for start in range(0, len(rows), block):
                part = slice(start, start + block)
                yield from extended(*self._extended(rows[part], states[part], i, kept[i]), i + 1)

        return extended(*_START, 0)

    def _extended(
        self, rows: Rows, states: NDArray[np.int32], i: int, values: NDArray[np.int64]
    ) -> tuple[Rows, NDArray[np.int32]]:
        """Rows of i decisions with each of the values of decision i, in order, and the states they lead to."""
        layer = self.layers[i]
        n_options = np.where(layer.active[states], len(values), 1)
        source = np.repeat(np.arange(len(rows)), n_options)
        first = np.repeat(np.cumsum(n_options) - n_options, n_options)
        value = np.where(layer.active[states[source]], values[np.arange(len(source)) - first], -1)
        return np.column_stack([rows[source], value.astype(np.int16)]), layer.follow[states[source], value]

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw n rows, every arch equally likely (with replacement)."""
        return self._draw(n, rng, self._uniform_odds)

    def sample_by_decision(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw n rows deciding one decision after the other, each uniform over its values.

        Differs from `sample` if decisions are conditional: archs that need rarer conditions are then drawn less
        often. Some papers draw this way.
        """
        return self._draw(n, rng, self._flat_odds)

    def sample_from(self, n: int, rng: np.random.Generator, probabilities: Sequence[NDArray[np.float64]]) -> Rows:
        """Draw n rows deciding one decision after the other, each by its own probabilities where it is active.

        Args:
            n: How many.
            rng: Decides.
            probabilities: (n_values,) of each decision; they are scaled to a sum of 1.
        """
        odds = []
        for layer, each in zip(self.layers, probabilities, strict=True):
            cumulative = np.cumsum(np.asarray(each, dtype=np.float64))
            odds.append(cumulative / cumulative[-1] + np.arange(float(len(layer.active)))[:, None])
        return self._draw(n, rng, odds)

    def _draw(self, n: int, rng: np.random.Generator, odds: list[NDArray[np.float64]]) -> Rows:
        columns = np.empty((len(self), n), dtype=np.int16)  # one decision after the other, as they are written
        states = np.zeros(n, dtype=np.int32)
        for values, layer, cumulative in zip(columns, self.layers, odds, strict=True):
            drawn = rng.random(n)
            if layer.is_plain and _is_flat(cumulative):
                np.multiply(drawn, cumulative.shape[1], out=values, casting="unsafe")
                continue
            # one search over all states at once: the cumulative odds of state s lie in (s, s + 1]
            found = np.searchsorted(cumulative.ravel(), states + drawn, side="right")
            value = np.minimum(found - states * cumulative.shape[1], cumulative.shape[1] - 1)
            values[:] = np.where(layer.active[states], value, -1)
            states = layer.follow[states, values]
        return _rows_of(columns)

    @functools.cached_property
    def _flat_odds(self) -> list[NDArray[np.float64]]:
        return [
            np.arange(1.0, n + 1)[None, :] / n + np.arange(float(len(layer.active)))[:, None]
            for layer, n in zip(self.layers, self.n_values, strict=True)
        ]

    @functools.cached_property
    def _uniform_odds(self) -> list[NDArray[np.float64]]:
        """Cumulative odds (n_states, n_values) in proportion to the archs each value leaves open."""
        odds: list[NDArray[np.float64]] = []
        for i, (layer, n) in enumerate(zip(self.layers, self.n_values.tolist(), strict=True)):
            after = self.layers[i + 1].counts if i + 1 < len(self) else None
            table = np.empty((len(layer.active), n))
            for state, active in enumerate(layer.active):
                running = 0
                for value in range(n):
                    # inactive: any increasing numbers do, the value drawn is not used
                    following = layer.follow[state, value if active else -1]
                    running += after[following] if after else 1
                    total = layer.counts[state] * (1 if active else n)
                    table[state, value] = running / total  # exact integers; their quotient is correctly rounded
            odds.append(table + np.arange(len(table))[:, None])
        return odds

    # ── the dynamic program ───────────────────────────────────────────────────────────────────────

    def _compile(self) -> tuple[list[tuple[int, NDArray[np.bool_]]], list[list[list[int]]]]:
        """Distinct conditions as (column, truth by value index with −1 last), and each decision's contexts in them."""
        literals: list[tuple[int, NDArray[np.bool_]]] = []
        known: dict[Condition, int] = {}
        contexts = []
        for i, decision in enumerate(self.decisions):
            for condition in {c: None for context in decision.when for c in context}:
                column = self._position.get(condition.decision)
                if column is None or column >= i:
                    raise SpaceError(
                        f"decision {decision.name!r} depends on {condition.decision!r}, which does not come before it"
                    )
                if condition not in known:
                    parent = self.decisions[column]
                    truth = np.zeros(len(parent.values) + 1, dtype=bool)
                    truth[[parent.index(value) for value in condition.allowed]] = True
                    known[condition] = len(literals)
                    literals.append((column, truth))
            contexts.append([[known[c] for c in context] for context in decision.when])
        return literals, contexts

    def _active(self, i: int, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether decision i is active in each row, from the columns before it."""
        if not self._contexts[i]:
            return np.ones(len(rows), dtype=bool)
        active = np.zeros(len(rows), dtype=bool)
        for context in self._contexts[i]:
            holds = np.ones(len(rows), dtype=bool)
            for literal in context:
                column, truth = self._literals[literal]
                holds &= truth[rows[:, column]]
            active |= holds
        return active

    @functools.cached_property
    def layers(self) -> list[Layer]:
        """The dynamic program, one step a decision; every arch begins in state 0."""
        last_use = {k: i for i, contexts in enumerate(self._contexts) for context in contexts for k in context}
        states: dict[frozenset[int], int] = {frozenset(): 0}  # a state is the set of conditions known to hold
        partial = []
        for i, decision in enumerate(self.decisions):
            mine = [(k, truth) for k, (column, truth) in enumerate(self._literals) if column == i]
            n = len(decision.values)
            active = np.zeros(len(states), dtype=bool)
            follow = np.full((len(states), n + 1), -1, dtype=np.int32)
            after: dict[frozenset[int], int] = {}
            for state, number in states.items():
                contexts = self._contexts[i]
                active[number] = not contexts or any(state.issuperset(context) for context in contexts)
                kept = frozenset(k for k in state if last_use[k] > i)
                for value in range(n) if active[number] else (-1,):
                    following = kept | {k for k, truth in mine if truth[value]}
                    follow[number, value] = after.setdefault(following, len(after))
            if len(after) > MAX_STATES:
                raise SpaceError(
                    f"the conditions up to decision {decision.name!r} intertwine too much to count the space"
                )
            partial.append((active, follow))
            states = after
        counts = [1] * len(states)
        layers: list[Layer] = []
        for active, follow in reversed(partial):
            counts = [sum(counts[s] for s in set_of.tolist() if s >= 0) for set_of in follow]
            layers.append(Layer(active, follow, counts))
        return layers[::-1]


def _is_flat(cumulative: NDArray[np.float64]) -> bool:
    """Whether a decision of one state takes each value equally often."""
    n = cumulative.shape[1]
    return bool((cumulative[0] == np.arange(1.0, n + 1) / n).all())


def _rows_of(columns: NDArray[np.int16]) -> Rows:
    """Columns (n_decisions, n) as rows (n, n_decisions) in a row's order in memory."""
    rows = np.empty(columns.shape[::-1], dtype=np.int16)
    for start in range(0, len(rows), 1024):  # small enough for both sides to stay in the cache
        rows[start : start + 1024] = columns[:, start : start + 1024].T
    return rows


def _when_text(decision: Decision) -> str:
    return " or ".join(" and ".join(map(str, context)) for context in decision.when)
