"""Search guided by predictors: what is asked, when, and that it finds more than random search."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.nn import Chooser
from archwright.spaces import Space
from archwright.strategies import Random
from archwright.strategies.base import Strategy
from archwright.strategies.predictor_guided import PredictorConfig, PredictorGuided
from archwright.testing import StrategyContract

OBJECTIVE = Objective((Goal("score"),))


class TestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return PredictorGuided(space, PredictorConfig(start=4), seed=seed)


class TestForestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        config = PredictorConfig(predictor="ridge", encoding="one-hot", acquisition="thompson", start=3)
        return PredictorGuided(space, config, seed=seed)


class Numbers(Space):
    """Six decisions of six values, or as many as wanted."""

    def __init__(self, n: int = 5, **settings: object) -> None:
        super().__init__()
        self.n = n

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"x{i}", tuple(range(6)), "number") for i in range(self.n)])

    def network(self, choose: Chooser) -> object:  # type: ignore[override]
        raise AssertionError("not built here")


def bowl(candidate: Candidate) -> float:
    """Best where every number is 4."""
    return -float(sum((float(value) - 4.0) ** 2 for value in candidate.arch.values()))  # type: ignore[arg-type]


def everything(rows: Rows) -> np.ndarray:
    return np.ones(len(rows), bool)


def run(strategy: Strategy, n: int, feasible: object = everything) -> list[Trial]:
    strategy.bind(OBJECTIVE, feasible)  # type: ignore[arg-type]
    trials: list[Trial] = []
    while len(trials) < n and (asked := strategy.ask(n - len(trials))):
        told = [Trial(candidate, metrics={"score": bowl(candidate)}) for candidate in asked]
        strategy.tell(told)
        trials += told
    return trials


@pytest.mark.parametrize("n", [5, 12], ids=["enumerated", "pool"])
@pytest.mark.parametrize("acquisition", ["ucb", "ei", "thompson", "mean"])
def test_more_is_found_than_by_random_search(n: int, acquisition: str) -> None:
    """In 40 trials of 7,776 members, and of two thousand million."""
    config = PredictorConfig(acquisition=acquisition, pool=400)  # type: ignore[arg-type]
    best = max(trial.metrics["score"] for trial in run(PredictorGuided(Numbers(n), config, seed=0), 40))
    others = max(trial.metrics["score"] for trial in run(Random(Numbers(n), n_trials=40, seed=0), 40))
    assert best > others + (2 if n == 5 else 10)


@pytest.mark.parametrize("predictor", ["ridge", "forest", "extra-trees", "boosting", "mlp"])
def test_other_predictors(predictor: str) -> None:
    config = PredictorConfig(predictor=predictor, encoding="one-hot", start=12)
    trials = run(PredictorGuided(Numbers(4), config, seed=0), 18)
    assert len({trial.arch for trial in trials}) == 18
    assert max(trial.metrics["score"] for trial in trials[12:]) > np.median([t.metrics["score"] for t in trials[:12]])


def test_it_begins_at_random_and_then_waits() -> None:
    """A proposal is made from all that was asked."""
    strategy = PredictorGuided(Numbers(), PredictorConfig(start=5), seed=0)
    strategy.bind(OBJECTIVE, everything)
    asked = strategy.ask(8)
    assert [candidate.origin for candidate in asked] == ["random"] * 5
    assert strategy.ask(1) == []
    strategy.tell([Trial(candidate, metrics={"score": bowl(candidate)}) for candidate in asked])
    assert [candidate.origin for candidate in strategy.ask(3)] == ["predicted"]


@pytest.mark.parametrize("n", [5, 12], ids=["enumerated", "pool"])
def test_limits_are_kept(n: int) -> None:
    """In a small space and in a large one."""
    strategy = PredictorGuided(Numbers(n), PredictorConfig(pool=200), seed=0)
    trials = run(strategy, 25, lambda rows: rows.sum(axis=1) <= 2 * n)
    assert all(sum(trial.arch.values()) <= 2 * n for trial in trials)  # type: ignore[arg-type]


def test_a_whole_space_is_tried_and_then_nothing() -> None:
    """36 members, none twice."""
    trials = run(PredictorGuided(Numbers(2), seed=0), 100)
    assert len({trial.arch for trial in trials}) == len(trials) == 36


def test_failed_trials_are_left_out() -> None:
    """They are not proposed again either."""
    strategy = PredictorGuided(Numbers(3), PredictorConfig(start=6), seed=0)
    strategy.bind(OBJECTIVE, everything)
    asked = strategy.ask(6)
    told = [Trial(c, "failed", failure="x") if c.number % 2 else Trial(c, metrics={"score": bowl(c)}) for c in asked]
    strategy.tell(told)
    (proposal,) = strategy.ask(1)
    assert proposal.arch not in {candidate.arch for candidate in asked}


def test_several_goals_spread_over_the_trade_off() -> None:
    """One goal wants large numbers, the other small ones: proposals are found at both ends."""
    objective = Objective((Goal("sum"), Goal("cost", "min")))
    strategy = PredictorGuided(Numbers(5), PredictorConfig(start=10), seed=0)
    strategy.bind(objective, everything)
    sums = []
    for _ in range(40):
        asked = strategy.ask(10)
        totals = [float(sum(candidate.arch.values())) for candidate in asked]  # type: ignore[arg-type]
        told = zip(asked, totals, strict=True)
        strategy.tell([Trial(c, metrics={"sum": total, "cost": total**1.5}) for c, total in told])
        sums += totals if asked[0].origin == "predicted" else []
    assert min(sums) <= 4
    assert max(sums) >= 21


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"predictor": "x"}, "predictor 'x'"),
        ({"encoding": "x"}, "encoding 'x'"),
        ({"acquisition": "x"}, "acquisition 'x'"),
        ({"beta": -1.0}, "predictor.beta is -1.0; give 0 or more"),
        ({"start": 0}, "predictor.start"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError), match=said):
        PredictorConfig(**settings)  # type: ignore[arg-type]
