"""What a search looks for: goals to optimise and constraints to keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError
from archwright.core.trial import Trial

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Goal:
    """A metric or cost by name, and whether larger ("max") or smaller ("min") values are better."""

    name: str
    direction: Direction = "max"

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise InvalidValueError(f"direction of {self.name!r} is {self.direction!r}; write 'max' or 'min'")


@dataclass(frozen=True)
class Constraint:
    """An upper limit on a cost, in the cost's own unit; a value equal to the limit satisfies it."""

    cost: str
    limit: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise InvalidValueError(f"limit on {self.cost!r} is {self.limit!r}; give a positive number")


@dataclass(frozen=True)
class Objective:
    """Goals in order of importance, and any number of constraints.

    Arithmetic inside minimises: a maximised goal enters `values` negated. With one goal `best` is the
    plain optimum; with several, the first goal decides and the others break ties (use `pareto_front`
    of the values for all trade-offs).

    >>> objective = Objective((Goal("top1_accuracy"),), (Constraint("macs", 2e6),))
    >>> objective.feasible({"macs": np.array([1e6, 3e6])}, 2).tolist()
    [True, False]
    """

    goals: tuple[Goal, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        if not self.goals:
            raise InvalidValueError("an objective needs at least one goal")
        names = [constraint.cost for constraint in self.constraints]
        if len(set(names)) != len(names):
            raise InvalidValueError(f"a cost is limited twice: {', '.join(names)}; give one limit a cost")

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the limited costs."""
        return tuple(constraint.cost for constraint in self.constraints)

    def feasible(self, costs: Mapping[str, NDArray[np.float64]], n: int) -> NDArray[np.bool_]:
        """Which of n archs keep every constraint, as a mask (n,); `costs` holds one array (n,) for each cost."""
        kept = np.ones(n, dtype=bool)
        for constraint in self.constraints:
            kept &= costs[constraint.cost] <= constraint.limit
        return kept

    def is_feasible(self, trial: Trial) -> bool:
        """Whether the costs of this trial keep every constraint."""
        return all(trial.costs[constraint.cost] <= constraint.limit for constraint in self.constraints)

    def value(self, trial: Trial) -> tuple[float, ...]:
        """One number for each goal, smaller is better; infinity if the trial failed or its result is not a number."""
        return tuple(_minimised(goal, trial) for goal in self.goals)

    def values(self, trials: Sequence[Trial]) -> NDArray[np.float64]:
        """`value` of each trial as an array (n, n_goals)."""
        return np.array([self.value(trial) for trial in trials], dtype=np.float64).reshape(len(trials), len(self.goals))

    def ranked(self, trials: Iterable[Trial]) -> list[Trial]:
        """Complete, feasible trials, best first; ties go to the earlier trial."""
        kept = [trial for trial in trials if trial.is_complete and self.is_feasible(trial)]
        return sorted(kept, key=lambda trial: (self.value(trial), trial.number))

    def best(self, trials: Iterable[Trial]) -> Trial | None:
        """The first of `ranked`, or None where no trial is complete and feasible."""
        kept = [trial for trial in trials if trial.is_complete and self.is_feasible(trial)]
        return min(kept, key=lambda trial: (self.value(trial), trial.number), default=None)


def labels_of(objectives: Sequence[Objective]) -> list[str]:
    """What tells objectives apart that differ in their limits, for names: nothing for the first, then `-COST-LIMIT`.

    >>> labels_of([Objective((Goal("accuracy"),), (Constraint("macs", limit),)) for limit in (2e6, 5e6)])
    ['', '-macs-5000000']
    """
    limits = [{constraint.cost: constraint.limit for constraint in one.constraints} for one in objectives]
    varied = [cost for cost in limits[0] if len({one.get(cost) for one in limits}) > 1]
    return ["", *("".join(f"-{cost}-{one[cost]:.10g}" for cost in varied) for one in limits[1:])]


def _minimised(goal: Goal, trial: Trial) -> float:
    found = trial.metrics.get(goal.name, trial.costs.get(goal.name)) if trial.is_complete else None
    if found is None or math.isnan(found):
        return math.inf
    return -found if goal.direction == "max" else found
