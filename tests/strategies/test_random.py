"""Random search."""

from __future__ import annotations

import numpy as np

from archwright.core.objective import Goal, Objective
from archwright.spaces import Space
from archwright.strategies import Random
from archwright.strategies.base import Strategy
from archwright.testing import BranchSpace, StrategyContract

OBJECTIVE = Objective((Goal("score"),))


class TestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return Random(space, seed=seed)


def test_no_arch_comes_twice_and_all_come() -> None:
    """Twelve archs in twelve asks, then nothing more."""
    strategy = Random(BranchSpace())
    assert len({candidate.arch for candidate in strategy.ask(12)}) == 12
    assert strategy.ask(1) == []


def test_limits_are_kept() -> None:
    """The four archs with the last operation and the first of three inputs."""
    strategy = Random(BranchSpace())
    strategy.bind(OBJECTIVE, lambda rows: (rows[:, 0] == 0) & (rows[:, 2] == 1))
    asked = strategy.ask(5)
    assert {(c.arch["node.input"], c.arch["last"]) for c in asked} == {((0,), "relu")}
    assert len(asked) == 2


def test_later_failures_to_draw_end_the_search() -> None:
    """What was found stays found: the search ends instead of failing."""
    strategy = Random(BranchSpace())
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    assert len(strategy.ask(1)) == 1
    strategy.feasible = lambda rows: np.zeros(len(rows), bool)
    assert strategy.ask(1) == []
