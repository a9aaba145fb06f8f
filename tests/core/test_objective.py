"""Objectives: direction, feasibility, ranking."""

from __future__ import annotations

import math

import numpy as np
import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Constraint, Goal, Objective, labels_of
from archwright.core.trial import Candidate, Trial

ACCURACY = Objective((Goal("accuracy"),), (Constraint("macs", 10.0),))


def trial(number: int, accuracy: float | None, macs: float = 1.0, *, status: str = "complete") -> Trial:
    metrics = {} if accuracy is None else {"accuracy": accuracy}
    return Trial(Candidate(number, Arch({"n": number}), seed=0), status, metrics, {"macs": macs})  # type: ignore[arg-type]


def numbers(trials: list[Trial]) -> list[int]:
    return [one.number for one in trials]


def test_the_highest_comes_first_where_more_is_better() -> None:
    """Three accuracies in descending order."""
    assert numbers(ACCURACY.ranked([trial(0, 0.5), trial(1, 0.9), trial(2, 0.7)])) == [1, 2, 0]


def test_the_lowest_comes_first_where_less_is_better() -> None:
    """The same figures read as errors."""
    errors = Objective((Goal("accuracy", "min"),))
    assert numbers(errors.ranked([trial(0, 0.5), trial(1, 0.9), trial(2, 0.7)])) == [0, 2, 1]


def test_a_value_at_the_limit_is_feasible() -> None:
    """The limit itself is kept, the next number above is not; by trial and by population."""
    above = math.nextafter(10.0, math.inf)
    assert [ACCURACY.is_feasible(trial(0, 0.5, macs)) for macs in (10.0, above)] == [True, False]
    assert ACCURACY.feasible({"macs": np.array([10.0, above])}, 2).tolist() == [True, False]


def test_every_constraint_must_hold() -> None:
    """Two limits, four archs, one of which keeps both."""
    both = Objective((Goal("accuracy"),), (Constraint("macs", 10.0), Constraint("params", 5.0)))
    costs = {"macs": np.array([9.0, 9, 11, 11]), "params": np.array([4.0, 6, 4, 6])}
    assert both.feasible(costs, 4).tolist() == [True, False, False, False]


def test_no_constraint_leaves_all_feasible() -> None:
    """The answer has one entry an arch even without any cost to look at."""
    assert Objective((Goal("accuracy"),)).feasible({}, 3).tolist() == [True, True, True]


def test_infeasible_and_failed_trials_are_not_ranked() -> None:
    """However good their figures are."""
    trials = [trial(0, 0.9, 11.0), trial(1, 0.8, status="failed"), trial(2, 0.1)]
    assert numbers(ACCURACY.ranked(trials)) == [2]
    assert ACCURACY.best(trials) is trials[2]


def test_ties_go_to_the_earlier_trial() -> None:
    """Whatever order they are given in."""
    tied = [trial(2, 0.5), trial(0, 0.5), trial(1, 0.5)]
    assert numbers(ACCURACY.ranked(tied)) == [0, 1, 2]
    best = ACCURACY.best(tied)
    assert best is not None
    assert best.number == 0


@pytest.mark.parametrize("accuracy", [None, math.nan])
def test_a_missing_or_undefined_figure_is_worst(accuracy: float | None) -> None:
    """It ranks behind an accuracy of zero."""
    assert numbers(ACCURACY.ranked([trial(0, accuracy), trial(1, 0.0)])) == [1, 0]


def test_further_goals_break_ties() -> None:
    """Equal accuracy: the cheaper one wins, and a cost can be a goal."""
    cheap = Objective((Goal("accuracy"), Goal("macs", "min")))
    assert numbers(cheap.ranked([trial(0, 0.5, 3.0), trial(1, 0.5, 2.0), trial(2, 0.6, 9.0)])) == [2, 1, 0]
    assert cheap.values([trial(0, 0.5, 3.0), trial(1, None, 2.0)]).tolist() == [[-0.5, 3.0], [math.inf, 2.0]]


def test_nothing_feasible_has_no_best() -> None:
    """None, not an error."""
    assert ACCURACY.best([trial(0, 0.9, 11.0)]) is None


def test_an_objective_needs_a_goal() -> None:
    """An empty tuple of goals is refused."""
    with pytest.raises(InvalidValueError, match="at least one goal"):
        Objective(())


def test_a_cost_is_limited_once() -> None:
    """Two limits on one cost are refused by name."""
    with pytest.raises(InvalidValueError, match="limited twice"):
        Objective((Goal("accuracy"),), (Constraint("macs", 1.0), Constraint("macs", 2.0)))


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_is_a_positive_number(limit: float) -> None:
    """Zero, negative, infinite and undefined limits are refused."""
    with pytest.raises(InvalidValueError, match="'macs'"):
        Constraint("macs", limit)


def test_a_direction_is_max_or_min() -> None:
    """Anything else is refused, with both spellings."""
    with pytest.raises(InvalidValueError, match="'max' or 'min'"):
        Goal("accuracy", "up")  # type: ignore[arg-type]


def test_labels_tell_large_limits_apart_and_can_name_files() -> None:
    """Limits that agree in ten digits have their own names, with all digits and without a sign of an exponent."""
    limits = (5e9, 12_345_678_901.0, 12_345_678_902.0, 0.25, 1e22)
    objectives = [Objective((Goal("accuracy"),), (Constraint("macs", limit),)) for limit in limits]
    assert labels_of(objectives) == ["", "-macs-12345678901", "-macs-12345678902", "-macs-0.25", "-macs-1e22"]
