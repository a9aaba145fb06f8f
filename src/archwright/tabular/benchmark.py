"""A tabular benchmark: a space, what an evaluation of each member would have given, and what it is really worth.

The two are kept apart. A search is given the space, the evaluator and the costs, none of which holds the true scores;
only `tabular.bench` reads those, when a search is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.decisions import Rows
from archwright.core.errors import DataError, InvalidArchError, InvalidValueError, UnknownNameError, UsageError
from archwright.core.objective import Direction
from archwright.core.trial import Candidate, Metrics
from archwright.costs.base import Cost
from archwright.evaluators.base import Evaluator
from archwright.nn.inputs import Form
from archwright.spaces.base import Space
from archwright.tabular.tables import Table

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what about one dataset.

    Attributes:
        signals: What an evaluation gives, by its budget in epochs: what a search sees.
        truth: What a member is worth: what a search never sees.
        seconds: What an evaluation takes, by its budget; empty where the table does not say.
        metric: Name of signals and truth.
        direction: Whether larger ("max") or smaller ("min") values are better.
        not_measured: Numbers that stand for "not measured", by the column's name.
    """

    signals: Mapping[int, str]
    truth: str
    seconds: Mapping[int, str] = field(default_factory=dict)
    metric: str = "top1_accuracy"
    direction: Direction = "max"
    not_measured: Mapping[str, float] = field(default_factory=dict)


class Places:
    """Where each architecture stands in a table.

    Args:
        rows: (n, n_decisions) of the table's lines.
        what: The table, for messages.

    Raises:
        DataError: If an architecture stands there twice.
    """

    def __init__(self, rows: Rows, what: str) -> None:
        self.rows = rows
        self._of = {row.tobytes(): i for i, row in enumerate(rows)}
        if len(self._of) < len(rows):
            seen: dict[bytes, int] = {}
            for i, row in enumerate(rows):
                if (first := seen.setdefault(row.tobytes(), i)) != i:
                    raise DataError(
                        f"{what}, lines {first + 2} and {i + 2} are of the same architecture; keep one of them"
                    )

    def of(self, rows: Rows) -> NDArray[np.int64]:
        """(n,): the line of each row; -1 where the table has none."""
        return np.array([self._of.get(row.tobytes(), -1) for row in np.ascontiguousarray(rows)], dtype=np.int64)


class Benchmark:
    """A space whose members' figures are known.

    Args:
        name: Of the benchmark.
        space: Its space; members that the table lacks cannot be tried.
        table: The figures.
        columns: Which columns say what.
        dataset: Which data the figures are of.
        key: The column that holds each member's code.

    Raises:
        DataError: If a column is missing, a code is none, or a member stands there twice.
    """

    def __init__(
        self, name: str, space: Space, table: Table, columns: Columns, *, dataset: str = "", key: str = "arch"
    ) -> None:
        self.name, self.space, self.columns, self.dataset = name, space, columns, dataset
        self._table = table
        try:
            rows = space.parse_rows(table.texts(key))
        except InvalidArchError as error:
            raise DataError(f"{table.path} has a {key} that is none of space {space.name!r}: {error}") from None
        self.places = Places(rows, str(table.path))

    @property
    def domain(self) -> Callable[[Rows], NDArray[np.bool_]] | None:
        """Which members can be tried at all: those that stand in the table; None where all do."""
        if len(self.places.rows) == self.space.size():
            return None
        return lambda rows: self.places.of(rows) >= 0

    @property
    def budgets(self) -> tuple[int, ...]:
        """Epochs of the evaluations that the table holds, ascending."""
        return tuple(sorted(self.columns.signals))

    @cached_property
    def truth(self) -> Floats:
        """(n,): the true scores, NaN where a member has none; never given to a search."""
        return self._numbers(self.columns.truth)

    def signal(self, budget: int | None = None) -> Floats:
        """(n,): what an evaluation gives; NaN where it was not measured.

        Args:
            budget: In epochs; None takes the shortest.

        Raises:
            InvalidValueError: If the table holds no evaluation of that budget.
        """
        chosen = self.budgets[0] if budget is None else budget
        if chosen not in self.columns.signals:
            raise InvalidValueError(
                f"benchmark {self.name!r} has no evaluation of {chosen} epochs on {self.dataset or 'its data'}; "
                f"choose one of {', '.join(map(str, self.budgets))}"
            )
        return self._numbers(self.columns.signals[chosen])

    def evaluator(self, budget: int | None = None) -> TabularEvaluator:
        """What a search is given: it holds signals, and no true score.

        Args:
            budget: Epochs of an evaluation whose candidate has no budget of its own; None takes the shortest.
        """
        default = self.budgets[0] if budget is None else budget
        self.signal(default)
        signals = {epochs: self.signal(epochs) for epochs in self.budgets}
        return TabularEvaluator(self.space, self.places, signals, default, self.columns.metric)

    def costs(self, names: Sequence[str]) -> list[Cost]:
        """Costs that are columns of the table, by the columns' names.

        Args:
            names: Of columns.

        Raises:
            UnknownNameError: If the table has no such column.
        """
        for name in names:
            if name not in self._table.names:
                raise UnknownNameError("column", name, self._table.names)
        return [TabularCost(name, self.places, self._numbers(name)) for name in names]

    def seconds(self, budget: int | None = None) -> Floats | None:
        """(n,): what an evaluation of that budget takes; None where the table does not say.

        Args:
            budget: In epochs; None takes the shortest.
        """
        name = self.columns.seconds.get(self.budgets[0] if budget is None else budget)
        return None if name is None else self._numbers(name)

    def _numbers(self, name: str) -> Floats:
        return self._table.numbers(name, not_measured=self.columns.not_measured.get(name))


class TabularEvaluator(Evaluator):
    """Looks up what an evaluation gave.

    A member without a figure is not measurable: its evaluation fails and says so, and no number stands in its place.

    Args:
        space: Of the members.
        places: Where they stand.
        signals: (n,) figures by their budget in epochs.
        budget: Epochs of candidates without a budget of their own.
        metric: Name of the figure.
    """

    def __init__(self, space: Space, places: Places, signals: Mapping[int, Floats], budget: int, metric: str) -> None:
        self._decisions, self._places, self.metric = space.decisions, places, metric
        self._signals, self.budget = {epochs: values.tolist() for epochs, values in signals.items()}, budget

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        rows = self._decisions.rows([candidate.arch for candidate in candidates])
        return [
            {self.metric: self._figure(place, candidate.budget)}
            for place, candidate in zip(self._places.of(rows).tolist(), candidates, strict=True)
        ]

    def _figure(self, place: int, budget: int | None) -> float:
        epochs = self.budget if budget is None else budget
        if epochs not in self._signals:
            known = ", ".join(map(str, sorted(self._signals)))
            raise UsageError(f"the table holds no evaluation of {epochs} epochs; choose one of {known}")
        value: float = self._signals[epochs][place] if place >= 0 else np.nan
        if value != value:
            raise InvalidValueError(f"not measured at {epochs} epochs" if place >= 0 else "not in the table")
        return value


class TabularCost(Cost):
    """A column of a table as a cost; infinite for a member without a figure, which so keeps no limit.

    Args:
        name: Of the column.
        places: Where members stand.
        values: (n,) the column, NaN where there is no figure.
    """

    name = "tabular"

    def __init__(self, name: str, places: Places, values: Floats) -> None:
        self.name = name  # type: ignore[misc]
        self._places, self._values = places, np.append(np.where(np.isnan(values), np.inf, values), np.inf)

    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        raise UsageError(f"{self.name} is a column of a table, and no figure of a network")

    def cost_rows(self, space: Space, rows: Rows) -> Floats:
        return self._values[self._places.of(rows)]
