"""Random search."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InfeasibleError
from archwright.core.objective import Goal, Objective
from archwright.strategies import Random
from archwright.testing import BranchSpace, ElasticSpace

OBJECTIVE = Objective((Goal("score"),))


def test_no_arch_comes_twice_and_all_come() -> None:
    """Twelve archs in twelve asks, then nothing more."""
    strategy = Random(BranchSpace())
    assert len({candidate.arch for candidate in strategy.ask(12)}) == 12
    assert strategy.ask(1) == []


def test_what_is_asked_does_not_depend_on_how_many_at_once() -> None:
    """Singly, in fives or all together."""
    space = ElasticSpace()
    together = Random(space, seed=1).ask(20)
    for size in (1, 5):
        strategy = Random(space, seed=1)
        assert [candidate for _ in range(20 // size) for candidate in strategy.ask(size)] == together


def test_seeds_decide() -> None:
    """The same seed asks the same, another seed something else."""
    one, again, other = (Random(ElasticSpace(), seed=seed).ask(10) for seed in (1, 1, 2))
    assert one == again
    assert [candidate.arch for candidate in one] != [candidate.arch for candidate in other]


def test_limits_are_kept() -> None:
    """The four archs with the last operation and the first of three inputs."""
    strategy = Random(BranchSpace())
    strategy.bind(OBJECTIVE, lambda rows: (rows[:, 0] == 0) & (rows[:, 2] == 1))
    asked = strategy.ask(5)
    assert {(c.arch["node.input"], c.arch["last"]) for c in asked} == {((0,), "relu")}
    assert len(asked) == 2


def test_an_impossible_limit_is_an_error_at_the_first_ask() -> None:
    """Before anything is evaluated."""
    strategy = Random(BranchSpace())
    strategy.bind(OBJECTIVE, lambda rows: np.zeros(len(rows), bool))
    with pytest.raises(InfeasibleError):
        strategy.ask(1)


def test_later_failures_to_draw_end_the_search() -> None:
    """What was found stays found: the search ends instead of failing."""
    strategy = Random(BranchSpace())
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    assert len(strategy.ask(1)) == 1
    strategy.feasible = lambda rows: np.zeros(len(rows), bool)
    assert strategy.ask(1) == []
