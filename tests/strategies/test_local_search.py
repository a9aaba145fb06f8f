"""Local search: neighbourhoods by hand, climbs to the top of a hill, and from another start at a peak."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.core.variation import neighbours
from archwright.nn import Chooser
from archwright.spaces import Space
from archwright.strategies.base import Strategy
from archwright.strategies.local_search import LocalSearch, LocalSearchConfig
from archwright.testing import BranchSpace, StrategyContract

OBJECTIVE = Objective((Goal("score"),))


class TestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return LocalSearch(space, seed=seed)


class TestFirstContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return LocalSearch(space, LocalSearchConfig(start=3, first=True), seed=seed)


class Grid(Space):
    """Three decisions of four values."""

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"x{i}", (0, 1, 2, 3), "number") for i in range(3)])

    def network(self, choose: Chooser) -> object:  # type: ignore[override]
        raise AssertionError("not built here")


def run(strategy: Strategy, score: object, n: int, seed: int = 0) -> list[Candidate]:
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    asked: list[Candidate] = []
    while len(asked) < n and (new := strategy.ask(n - len(asked))):
        asked += new
        strategy.tell([Trial(candidate, metrics={"score": score(candidate)}) for candidate in new])  # type: ignore[operator]
    return asked


def hill(candidate: Candidate) -> float:
    return float(sum(candidate.arch.values()))  # type: ignore[arg-type]


def test_neighbours_differ_in_one_decision() -> None:
    """Three other values of each of three decisions."""
    space = Grid().decisions
    row = np.array([1, 2, 3], dtype=np.int16)
    found = neighbours(space, row, np.random.default_rng(0))
    assert len(np.unique(found, axis=0)) == 9
    assert ((found != row).sum(axis=1) == 1).all()


def test_neighbours_of_a_conditional_space_are_members() -> None:
    """What a change activates is filled, what it switches off is gone."""
    space = BranchSpace().decisions
    for row in space.enumerate_rows():
        found = neighbours(space, row, np.random.default_rng(0))
        assert space.contains(found).all()
        assert not (found == row).all(axis=1).any()


@pytest.mark.parametrize("first", [False, True])
def test_a_hill_is_climbed(first: bool) -> None:
    """From anywhere to (3, 3, 3) in at most nine steps of nine neighbours."""
    asked = run(LocalSearch(Grid(), LocalSearchConfig(first=first), seed=1), hill, 64)
    assert max(map(hill, asked)) == 9
    assert next(i for i, candidate in enumerate(asked) if hill(candidate) == 9) < 40


def test_all_neighbours_come_before_the_next_step() -> None:
    """The first arch, then the nine around it; their parent is its number."""
    asked = run(LocalSearch(Grid(), seed=1), hill, 10)
    start = np.array(list(asked[0].arch.values()))
    assert {candidate.parent for candidate in asked[1:]} == {0}
    assert all((np.array(list(candidate.arch.values())) != start).sum() == 1 for candidate in asked[1:])


def test_at_a_peak_it_begins_anew() -> None:
    """On flat land every arch is a peak: ten trials a start, and all 64 in the end."""
    asked = run(LocalSearch(Grid(), seed=0), lambda candidate: 0.0, 100)
    assert len({candidate.arch for candidate in asked}) == len(asked) == 64
    assert sum(candidate.origin == "random" for candidate in asked) > 3


def test_the_first_better_one_ends_a_neighbourhood() -> None:
    """Then neighbours of that one follow."""
    strategy = LocalSearch(Grid(), LocalSearchConfig(first=True), seed=2)
    asked = run(strategy, hill, 20)
    for before, now in itertools.pairwise(asked[1:]):
        if now.parent != before.parent and now.origin == "neighbour":
            parent = asked[now.parent]  # type: ignore[index]
            assert hill(parent) > max(hill(one) for one in asked[: parent.number] if one.number != parent.number)
            return
    raise AssertionError("no step was taken")
