"""Optuna's samplers: the contract, the same suggestions as Optuna's own study, limits."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import UnknownNameError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.nn import Chooser
from archwright.spaces import Space
from archwright.strategies.base import Strategy
from archwright.strategies.optuna_samplers import OptunaConfig, OptunaSampler
from archwright.testing import StrategyContract

optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")


class TestRandomContract(StrategyContract):
    asks_again = True
    n_trials = 30

    def make(self, space: Space, seed: int) -> Strategy:
        return OptunaSampler(space, OptunaConfig(sampler="random"), seed=seed)


class TestNsgaContract(StrategyContract):
    asks_again = True
    n_trials = 30

    def make(self, space: Space, seed: int) -> Strategy:
        return OptunaSampler(space, OptunaConfig(sampler="nsgaii", lookahead=3), seed=seed)


class Numbers(Space):
    """Two decisions of five values."""

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"x{i}", (0, 1, 2, 3, 4), "number") for i in range(2)])

    def network(self, choose: Chooser) -> object:  # type: ignore[override]
        raise AssertionError("not built here")


def score(candidate: Candidate) -> float:
    return float(sum(candidate.arch[f"x{i}"] for i in range(2)))


def test_suggestions_are_those_of_optuna_alone() -> None:
    """The same sampler, told the same, asked in a plain loop."""
    strategy = OptunaSampler(Numbers(), seed=5)
    strategy.bind(Objective((Goal("score"),)), lambda rows: np.ones(len(rows), bool))
    study = optuna.create_study(directions=["minimize"], sampler=optuna.samplers.TPESampler(seed=5))
    for _ in range(25):
        (candidate,) = strategy.ask(1)
        theirs = study.ask()
        values = [theirs.suggest_categorical(f"x{i}", [0, 1, 2, 3, 4]) for i in range(2)]
        assert [candidate.arch[f"x{i}"] for i in range(2)] == values
        strategy.tell([Trial(candidate, metrics={"score": score(candidate)})])
        study.tell(theirs, -float(sum(values)))


def test_it_begins_with_what_it_is_given() -> None:
    """Before Optuna's own suggestions."""
    strategy = OptunaSampler(Numbers(), seed=0)
    strategy.bind(Objective((Goal("score"),)), lambda rows: np.ones(len(rows), bool))
    strategy.begin_with(np.array([[4, 3], [0, 2]], dtype=np.int16))
    found = []
    for _ in range(2):
        (candidate,) = strategy.ask(1)
        found.append([candidate.arch[f"x{i}"] for i in range(2)])
        strategy.tell([Trial(candidate, metrics={"score": score(candidate)})])
    assert found == [[4, 3], [0, 2]]


def test_an_unknown_sampler() -> None:
    with pytest.raises(UnknownNameError, match="unknown sampler 'magic'"):
        OptunaConfig(sampler="magic")
