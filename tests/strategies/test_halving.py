"""Bandits: rungs and brackets by hand, promotions as they are due."""

from __future__ import annotations

import zlib
from collections import Counter

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial, of_largest_budget
from archwright.spaces import LeNet, Space
from archwright.strategies.base import Strategy
from archwright.strategies.halving import Asha, HalvingConfig, Hyperband, SuccessiveHalving
from archwright.testing import StrategyContract

OBJECTIVE = Objective((Goal("score"),))
THREE = HalvingConfig(budgets=(1, 3, 9), eta=3, n_trials=60)


class TestHyperbandContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return Hyperband(space, THREE, seed=seed)


class TestSuccessiveHalvingContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return SuccessiveHalving(space, THREE, seed=seed)


class TestAshaContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return Asha(space, THREE, seed=seed)


class TestWideAshaContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return Asha(space, HalvingConfig(budgets=(1, 3, 9), lookahead=4), seed=seed)


def run(strategy: Strategy, n: int) -> list[Trial]:
    """Scores are a number of each architecture, the same on every rung."""
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    trials: list[Trial] = []
    while len(trials) < n and (asked := strategy.ask(n - len(trials))):
        told = [Trial(candidate, metrics={"score": score(candidate)}) for candidate in asked]
        strategy.tell(told)
        trials += told
    return trials


def score(candidate: Candidate) -> float:
    return float(zlib.crc32(candidate.arch.key.encode()) % 1009)


def budgets(trials: list[Trial]) -> list[int | None]:
    return [trial.candidate.budget for trial in trials]


def test_successive_halving_by_hand() -> None:
    """Nine of one step, the best three of three, the best of nine; then nine others."""
    trials = run(SuccessiveHalving(LeNet(), THREE, seed=0), 26)
    assert budgets(trials) == 2 * ([1] * 9 + [3] * 3 + [9])
    best = sorted(trials[:9], key=score_of, reverse=True)
    assert [trial.arch for trial in trials[9:12]] == [trial.arch for trial in best[:3]]
    assert [trial.candidate.parent for trial in trials[9:12]] == [trial.number for trial in best[:3]]
    assert trials[12].arch == best[0].arch
    assert not {trial.arch for trial in trials[13:22]} & {trial.arch for trial in trials[:9]}


def score_of(trial: Trial) -> float:
    return trial.metrics["score"]


def test_brackets_of_hyperband_by_hand() -> None:
    """S = 3, eta = 3: 9 from the first rung, ceil(3 / 2 * 3) = 5 from the second, 3 from the third."""
    trials = run(Hyperband(LeNet(), THREE, seed=0), 22)
    assert budgets(trials) == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] + [9] * 3


def test_asha_promotes_as_soon_as_it_may() -> None:
    """With every third trial of a rung its best third grows by one; a promotion is always among the best so far."""
    trials = run(Asha(LeNet(), THREE, seed=0), 40)
    assert budgets(trials)[:4] == [1, 1, 1, 3]
    for i, trial in enumerate(trials):
        if trial.candidate.origin == "promoted":
            below = [one for one in trials[:i] if one.candidate.budget == trial.candidate.budget // 3]  # type: ignore[operator]
            better = sorted(below, key=score_of, reverse=True)[: len(below) // 3]
            assert trial.arch in [one.arch for one in better]
    counts = Counter(budgets(trials))
    assert counts[1] > counts[3] > counts[9] > 0


def test_no_architecture_is_promoted_twice_from_a_rung() -> None:
    for kind in (Asha, Hyperband):
        trials = run(kind(LeNet(), THREE, seed=1), 60)
        assert len({(trial.arch, trial.candidate.budget) for trial in trials}) == 60


def test_only_the_longest_trainings_may_win() -> None:
    trials = run(Hyperband(LeNet(), THREE, seed=0), 13)
    assert [trial.number for trial in of_largest_budget(trials)] == [12]


def test_failed_trials_are_not_promoted() -> None:
    """Where a rung failed as a whole, the bracket ends and the next begins."""
    strategy = SuccessiveHalving(LeNet(), THREE, seed=0)
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    asked = strategy.ask(9)
    strategy.tell([Trial(candidate, "failed", failure="why") for candidate in asked])
    assert [candidate.budget for candidate in strategy.ask(9)] == [1] * 9


@pytest.mark.parametrize("wrong", [(), (3, 1), (0, 2), (2, 2)])
def test_budgets_ascend(wrong: tuple[int, ...]) -> None:
    with pytest.raises(InvalidValueError, match=r"halving.budgets are .*; give numbers above 0, ascending"):
        HalvingConfig(budgets=wrong)
