"""The contract of strategies finds what a strategy can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest

from archwright.core.trial import Candidate, Trial
from archwright.spaces import Space
from archwright.strategies import Random, Strategy
from archwright.testing import StrategyContract


class Global(Random):
    """Draws from the global random state."""

    def ask(self, n: int) -> list[Candidate]:
        self.seed = int(np.random.randint(2**31))
        return super().ask(n)


class Boundless(Random):
    """Asks for what is above the limit."""

    def ask(self, n: int) -> list[Candidate]:
        self.feasible = lambda rows: np.ones(len(rows), bool)
        return super().ask(n)


class Repeating(Random):
    """Forgets what it has asked for."""

    def ask(self, n: int) -> list[Candidate]:
        found = super().ask(n)
        self._asked.clear()
        return found


class Greedy(Random):
    """Gives one more than wanted."""

    def ask(self, n: int) -> list[Candidate]:
        return super().ask(n + 1)


class Chunked(Random):
    """Its stream begins anew with each ask, not with each candidate."""

    def ask(self, n: int) -> list[Candidate]:
        rng = self.rng("chunk")
        rows = [row for row in self.decisions.sample(4 * n, rng) if self.feasible(row[None])[0]]
        return [self.candidate(row, origin="random") for row in rows[:n]]


class Trusting(Random):
    """Reads the score of trials that have none."""

    def tell(self, trials: Sequence[Trial]) -> None:
        self.best = max((trial.metrics["score"] for trial in trials), default=0.0)


class Seedless(Random):
    """Hands out equal seeds."""

    def ask(self, n: int) -> list[Candidate]:
        return [Candidate(c.number, c.arch, 0, origin=c.origin) for c in super().ask(n)]


class Forgetful(Random):
    """What it asks for depends on the trials it evaluated, which a resumed one has not seen as the same objects."""

    told: ClassVar[set[int]] = set()

    def ask(self, n: int) -> list[Candidate]:
        self.seed = len(self.told)
        return super().ask(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        type(self).told |= {trial.number for trial in trials}


@pytest.mark.parametrize(
    ("member", "test"),
    [
        (Global, "test_same_seed_same_asks"),
        (Boundless, "test_candidates_are_members_within_the_limit"),
        (Repeating, "test_nothing_is_asked_twice"),
        (Repeating, "test_it_ends"),
        (Greedy, "test_no_more_are_asked_than_wanted"),
        (Chunked, "test_how_many_are_asked_at_once_does_not_matter"),
        (Trusting, "test_failed_trials_are_survived"),
        (Trusting, "test_nothing_but_failures_is_survived"),
        (Seedless, "test_candidates_are_numbered_and_seeded"),
        (Forgetful, "test_telling_stored_trials_restores_it"),
        (Boundless, "test_an_impossible_limit_is_an_error"),
    ],
)
def test_a_broken_strategy_is_noticed(fails: Callable[..., bool], member: type[Random], test: str) -> None:
    """By the test that states what it breaks; random search passes it."""

    class Contract(StrategyContract):
        def make(self, space: Space, seed: int) -> Strategy:
            return member(space, seed=seed)

    class Sound(StrategyContract):
        def make(self, space: Space, seed: int) -> Strategy:
            return Random(space, seed=seed)

    assert fails(Contract(), test)
    assert not fails(Sound(), test)


def test_a_seed_that_changes_nothing_is_noticed(fails: Callable[..., bool]) -> None:
    """Unless the member says that nothing in it is random."""

    class Contract(StrategyContract):
        def make(self, space: Space, seed: int) -> Strategy:
            return Random(space, seed=0)

    assert fails(Contract(), "test_another_seed_asks_otherwise")
