"""NSGA-II: generations, tournaments and what survives, and the front of a problem that is known."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Goal, Objective
from archwright.core.pareto import hypervolume
from archwright.core.trial import Candidate, Trial
from archwright.nn import Chooser
from archwright.spaces import Space
from archwright.strategies import Random
from archwright.strategies.base import Strategy
from archwright.strategies.nsga2 import Nsga2, Nsga2Config
from archwright.testing import StrategyContract

GOALS = Objective((Goal("ones"), Goal("changes", "min")))


class TestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return Nsga2(space, Nsga2Config(population=6, generations=12), seed=seed)


class Bits(Space):
    """Twenty bits; nothing is built."""

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"bit{i:02}", (0, 1), "number") for i in range(20)])

    def network(self, choose: Chooser) -> object:  # type: ignore[override]
        raise AssertionError("not built here")


def figures(candidate: Candidate) -> dict[str, float]:
    """Many ones in the first half against many zeros in it: each bit serves one goal only."""
    bits = np.array(list(candidate.arch.values()), dtype=float)
    return {"ones": float(bits[:10].sum() * (1 + bits[10:].sum())), "changes": float(bits.sum())}


def run(strategy: Strategy, n: int) -> list[Trial]:
    strategy.bind(GOALS, lambda rows: np.ones(len(rows), bool))
    trials: list[Trial] = []
    while len(trials) < n and (asked := strategy.ask(n - len(trials))):
        told = [Trial(candidate, metrics=figures(candidate)) for candidate in asked]
        strategy.tell(told)
        trials += told
    return trials


def test_generations_follow_each_other() -> None:
    """The first is random; children have parents that were told before, and none is asked twice."""
    trials = run(Nsga2(Bits(), Nsga2Config(population=10, generations=3), seed=0), 40)
    assert [trial.candidate.origin for trial in trials[:10]] == ["random"] * 10
    assert len({trial.arch for trial in trials}) == 40
    for trial in trials[10:]:
        assert trial.candidate.parent is not None
        assert trial.candidate.parent < 10 * (trial.number // 10)


def test_the_trade_off_is_wider_than_that_of_random_search() -> None:
    """Volume below (0 ones, 21 bits set), the same number of trials."""
    volumes = []
    for strategy in (Nsga2(Bits(), Nsga2Config(population=20), seed=0), Random(Bits(), n_trials=400, seed=0)):
        values = GOALS.values(run(strategy, 400))
        volumes.append(hypervolume(values, [0.0, 21.0]))
    assert volumes[0] > 1.05 * volumes[1]


def test_survivors_are_the_first_fronts() -> None:
    """Of six trials on three fronts, those of the first two, and of a front too large those at its ends."""
    strategy = Nsga2(Bits(), Nsga2Config(population=3), seed=0)
    strategy.bind(GOALS, lambda rows: np.ones(len(rows), bool))
    asked = strategy.ask(3)
    points = [(5.0, 3.0), (4.0, 1.0), (1.0, 0.5)]
    strategy.tell([Trial(c, metrics={"ones": a, "changes": b}) for c, (a, b) in zip(asked, points, strict=True)])
    children = strategy.ask(3)
    more = [(4.5, 2.0), (0.5, 9.0), (0.4, 9.5)]
    strategy.tell([Trial(c, metrics={"ones": a, "changes": b}) for c, (a, b) in zip(children, more, strict=True)])
    strategy.ask(1)
    kept = {(trial.metrics["ones"], trial.metrics["changes"]) for trial in strategy._population}
    assert kept == {(5.0, 3.0), (1.0, 0.5), (4.0, 1.0)} or kept == {(5.0, 3.0), (1.0, 0.5), (4.5, 2.0)}


def test_failed_trials_have_no_children() -> None:
    strategy = Nsga2(Bits(), Nsga2Config(population=4), seed=0)
    strategy.bind(GOALS, lambda rows: np.ones(len(rows), bool))
    asked = strategy.ask(4)
    told = [Trial(c, "failed", failure="why") if c.number < 2 else Trial(c, metrics=figures(c)) for c in asked]
    strategy.tell(told)
    assert {candidate.parent for candidate in strategy.ask(4)} <= {2, 3}


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"population": 1}, "nsga2.population"), ({"crossover_probability": 2.0}, "nsga2.crossover_probability is 2.0")],
)
def test_impossible_numbers_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        Nsga2Config(**settings)  # type: ignore[arg-type]
