"""The contract of strategies: candidates depend only on seed and told trials, and keep the space and its limits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy
from archwright.testing.contracts.base import Contract, error_of, skip, to_do
from archwright.testing.spaces import BranchSpace, ElasticSpace


class StrategyContract(Contract):
    """Tests of one strategy, in a toy space, with a made-up score and a limit on a made-up cost.

    Attributes:
        n_trials: Most trials a test tells.
        asks_again: Whether an arch may be asked for twice.
        has_random_asks: False if the seed changes nothing, as in a grid.
        chunks_freely: Whether the candidates are the same however many are asked at once.
    """

    n_trials: ClassVar[int] = 60
    asks_again: ClassVar[bool] = False
    has_random_asks: ClassVar[bool] = True
    chunks_freely: ClassVar[bool] = True

    def make(self, space: Space, seed: int) -> Strategy:
        """The strategy, not yet bound, with settings small enough to make progress within `n_trials`."""
        to_do(self, "make(self, space: Space, seed: int) -> Strategy")

    def make_space(self) -> Space:
        """The space of all tests but one."""
        return ElasticSpace()

    # ── what is asked ─────────────────────────────────────────────────────────────────────────────

    def test_candidates_are_members_within_the_limit(self) -> None:
        """Every candidate is in the space and keeps the limit."""
        search = self._search()
        assert search.run()
        assert all(search.keeps_limit(search.space.row(trial.arch)[None])[0] for trial in search.trials)

    def test_candidates_are_numbered_and_seeded(self) -> None:
        """Numbers count from 0 in ask order; each candidate's seed is derived from the strategy's and its number."""
        trials = self._search().run()
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert [t.candidate.seed for t in trials] == [derive_seed(1, "trial", t.number) for t in trials]

    def test_no_more_are_asked_than_wanted(self) -> None:
        """`ask(n)` gives 0 to n candidates."""
        strategy = self._search().strategy
        assert strategy.ask(0) == []
        assert all(len(strategy.ask(n)) <= n for n in (1, 3, 1))

    def test_nothing_is_asked_twice(self) -> None:
        """No arch is asked twice in a search, also in a space with few archs."""
        if self.asks_again:
            skip("this strategy may ask for an arch again")
        for trials in (self._search(batch=5).run(), self._exhausted()):
            assert len({trial.arch for trial in trials}) == len(trials)

    def test_an_impossible_limit_is_an_error(self) -> None:
        """The first ask raises an error of one line."""
        strategy = self.make(self.make_space(), 1)
        strategy.bind(_objective(1.0), lambda rows: np.zeros(len(rows), bool))
        error_of(InfeasibleError, lambda: strategy.ask(1))

    def test_it_ends(self) -> None:
        """It ends within its own number of trials, or when all archs of a small space are asked."""
        search = self._search()
        trials = search.run(min(self.n_trials, search.strategy.n_trials))
        assert 0 < len(trials) <= search.strategy.n_trials
        if not self.asks_again:
            assert 0 < len(self._exhausted()) <= BranchSpace().size()

    def test_it_can_be_made_longer(self) -> None:
        """Made for twice as many trials, it asks for more than before, and for the same ones first."""
        usual, space = self._search(), self.make_space()
        strategy = self.make(space, 1)
        n = 2 * strategy.n_trials
        if n > 1000:
            skip("it is longer than the tests")
        strategy.resize(n)
        longer = _Search(strategy, space, n_trials=n)
        first, more = usual.run(usual.strategy.n_trials), longer.run()
        assert (strategy.n_trials, more[: len(first)]) == (n, first)
        assert len(more) > len(first) or len(more) == self._feasible(space, longer)

    # ── what it depends on ────────────────────────────────────────────────────────────────────────

    def test_same_seed_same_asks(self) -> None:
        """The global random state does not matter and stays as it is."""
        trials = self._search().run()
        _disturb_global_state()
        before = _global_state()
        assert self._search().run() == trials
        assert _global_state() == before

    def test_another_seed_asks_otherwise(self) -> None:
        """Another seed gives other archs, or another order."""
        if not self.has_random_asks:
            skip("nothing in this strategy is random")
        archs = [[trial.arch for trial in self._search(seed=seed).run()] for seed in (1, 2)]
        assert archs[0] != archs[1]

    def test_how_many_are_asked_at_once_does_not_matter(self) -> None:
        """Asking for one, for five, or for as many as possible gives the same candidates."""
        if not self.chunks_freely:
            skip("this strategy learns between asks")
        together = self._search().run()
        assert self._search(batch=1).run() == together
        assert self._search(batch=5).run() == together

    def test_many_asks_before_a_tell(self) -> None:
        """Each ask gives new candidates or none; after all are told, the search goes on."""
        search = self._search()
        asked = [candidate for _ in range(3) for candidate in search.strategy.ask(2)]
        assert asked
        assert [candidate.number for candidate in asked] == list(range(len(asked)))
        search.tell(asked)
        assert len(search.run()) > len(asked)

    def test_telling_stored_trials_restores_it(self) -> None:
        """A search interrupted anywhere ends like an undisturbed one, after asking again and telling stored trials."""
        whole = self._search(batch=5).run()
        for n_stored in (1, len(whole) // 2, len(whole) - 1):
            resumed = self._search(batch=5)
            resumed.stored = {trial.number: trial for trial in whole[:n_stored]}
            assert resumed.run() == whole

    def test_telling_nothing_changes_nothing(self) -> None:
        """Telling an empty list, before or between asks, has no effect."""
        search = self._search(batch=5)
        search.between = lambda: search.strategy.tell([])
        assert search.run() == self._search(batch=5).run()

    # ── failures ──────────────────────────────────────────────────────────────────────────────────

    def test_failed_trials_are_survived(self) -> None:
        """If every second trial fails, the search has as many trials as usual, and no failed trial is a parent."""
        search = self._search()
        search.fails = lambda number: number % 2 == 1
        trials = search.run()
        assert len(trials) == len(self._search().run())
        failed = {trial.number for trial in trials if not trial.is_complete}
        assert not failed & {trial.candidate.parent for trial in trials}

    def test_nothing_but_failures_is_survived(self) -> None:
        """If all trials fail, there is nothing to learn from, but candidates are still in the space."""
        search = self._search()
        search.fails = lambda number: True
        assert len(search.run()) > 1

    def _feasible(self, space: Space, search: _Search) -> int:
        return int(search.keeps_limit(space.decisions.enumerate_rows()).sum())

    def _exhausted(self) -> list[Trial]:
        """What is tried of a space with twelve archs, without a limit, until nothing is asked; a hundred at most."""
        space = BranchSpace()
        return _Search(self.make(space, 1), space, batch=5, has_limit=False).run(100)

    def _search(self, *, seed: int = 1, batch: int = 1000) -> _Search:
        space = self.make_space()
        return _Search(self.make(space, seed), space, batch=batch, n_trials=self.n_trials)


class _Search:
    """A loop of asks and tells with a made-up evaluation: a score with ties, a cost that half of all archs keep."""

    def __init__(
        self, strategy: Strategy, space: Space, *, batch: int = 1000, n_trials: int = 1000, has_limit: bool = True
    ) -> None:
        self.strategy, self.space, self.batch, self.n_trials = strategy, space, batch, n_trials
        drawn = _costs(space.decisions.sample(200, np.random.default_rng(0)))
        self.limit = float(np.median(drawn)) if has_limit else 1e9
        self.trials: list[Trial] = []
        self.stored: dict[int, Trial] = {}
        self.fails: Callable[[int], bool] = lambda number: False
        self.between: Callable[[], None] = lambda: None
        strategy.bind(_objective(self.limit), self.keeps_limit)

    def run(self, n_trials: int | None = None) -> list[Trial]:
        """Ask and tell until nothing more is asked or there are enough trials."""
        limit = self.n_trials if n_trials is None else n_trials
        while len(self.trials) < limit:
            self.between()
            asked = self.strategy.ask(min(self.batch, limit - len(self.trials)))
            if not asked:
                break
            self.tell(asked)
        return self.trials

    def tell(self, asked: list[Candidate]) -> None:
        told = [self.stored.get(candidate.number) or self._trial(candidate) for candidate in asked]
        assert [trial.candidate for trial in told] == asked
        self.strategy.tell(told)
        self.trials += told

    def keeps_limit(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows keep the limit; all must be members."""
        assert self.space.decisions.contains(rows).all()
        kept: NDArray[np.bool_] = _costs(rows) <= self.limit
        return kept

    def _trial(self, candidate: Candidate) -> Trial:
        if self.fails(candidate.number):
            return Trial(candidate, "failed", failure="made up")
        row = self.space.row(candidate.arch)
        score = float((np.maximum(row, 0) * np.arange(len(row)) % 7).sum())
        return Trial(candidate, metrics={"score": score}, costs={"cost": float(_costs(row[None])[0])})


def _objective(limit: float) -> Objective:
    return Objective((Goal("score"),), (Constraint("cost", limit),))


def _costs(rows: Rows) -> NDArray[np.float64]:
    costs: NDArray[np.float64] = np.maximum(rows, 0).sum(axis=1).astype(np.float64)
    return costs


def _disturb_global_state() -> None:
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)


def _global_state() -> tuple[object, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
