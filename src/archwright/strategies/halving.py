"""Bandits over budgets: many short trainings, longer ones of the best of them.

A rung is a budget; what is promoted from one rung is evaluated anew with the budget of the next. Only scores of one
rung are compared with each other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.config import MAX_TRIALS, check_range
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.spaces.base import Space
from archwright.strategies.base import Outlook, Strategy


@dataclass(frozen=True)
class HalvingConfig:
    """Numbers of a bandit.

    Attributes:
        budgets: What an evaluation may use on each rung, ascending: optimizer steps, or epochs of a table.
        eta: One in so many is promoted to the next rung.
        n_trials: Evaluations in all, of any length.
        lookahead: Of ASHA, candidates asked before the oldest of them is told; the result depends on it.
    """

    budgets: tuple[int, ...] = (100, 300, 900)
    eta: int = 3
    n_trials: int = 100
    lookahead: int = 1

    def __post_init__(self) -> None:
        ascending = all(0 < low < high for low, high in zip((0.5, *self.budgets), self.budgets, strict=False))
        if not self.budgets or not ascending:
            raise InvalidValueError(f"halving.budgets are {self.budgets}; give numbers above 0, ascending")
        check_range("halving.eta", self.eta, 2, 1000)
        check_range("halving.n_trials", self.n_trials, 1, MAX_TRIALS)
        check_range("halving.lookahead", self.lookahead, 1, 1_000_000)


@dataclass
class _Rung:
    """Trials of one budget, and which of them were promoted."""

    trials: list[Trial] = field(default_factory=list)
    promoted: set[int] = field(default_factory=set)


class _Bandit(Strategy):
    """What bandits share: random architectures and promotions as candidates with a budget."""

    Config = HalvingConfig

    def __init__(self, space: Space, config: HalvingConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or HalvingConfig()
        super().__init__(space, n_trials=self.config.n_trials, seed=seed)
        self._visited: set[bytes] = set()

    def outlook(self, n: int) -> list[Outlook]:
        # each rung has one in eta of the trials of the rung below, as ASHA in the long run
        shares = [self.config.eta**-rung for rung in range(len(self.config.budgets))]
        longer = [round(n * share / sum(shares)) for share in shares[1:]]
        return [Outlook(k, budget) for k, budget in zip([n - sum(longer), *longer], self.config.budgets, strict=True)]

    def _fresh(self, n: int, purpose: str, number: int) -> list[NDArray[np.int16]]:
        """Up to n random architectures that were not tried."""
        rng = np.random.default_rng(derive_seed(self.seed, purpose, number))
        try:
            return list(self.drawn(n, rng, exclude=self._visited))
        except InfeasibleError:
            if not self.n_asked:
                raise
            return []

    def _promotion(self, trial: Trial, rung: int) -> Candidate:
        row, budget = self.decisions.row(trial.arch), self.config.budgets[rung]
        return self.candidate(row, origin="promoted", parent=trial.number, budget=budget)


@listed(
    "strategy",
    "hyperband",
    summary="brackets of successive halving: many short trainings against few long ones",
    source="Li et al., JMLR 2018, arXiv:1603.06560",
)
class Hyperband(_Bandit):
    """Brackets that begin on the lowest rung, the second lowest, and so on, one after the other, again and again.

    The bracket that begins on rung s of S starts with ceil(S / (S - s) * eta^(S - s - 1)) architectures, and each rung
    keeps one in eta of them, at least one (Li et al., 2018, Algorithm 1).

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    lookahead = None  # a rung is filled when the one before is told
    only_first = False

    def __init__(self, space: Space, config: HalvingConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(space, config, seed=seed)
        self._queue: deque[tuple[NDArray[np.int16] | Trial, int]] = deque()
        self._brackets = self._starts()
        self._rung, self._told, self._n_told, self._n_brackets = 0, list[Trial](), 0, 0

    def _starts(self) -> Iterator[tuple[int, int]]:
        """(first rung, architectures) of each bracket."""
        n_rungs = len(self.config.budgets)
        while True:
            for first in range(1 if self.only_first else n_rungs):
                left = n_rungs - first
                yield first, math.ceil(n_rungs / left * self.config.eta ** (left - 1))

    def ask(self, n: int) -> list[Candidate]:
        if not self._queue and self._n_told == self.n_asked:
            self._fill()
        asked: list[Candidate] = []
        while self._queue and len(asked) < n:
            given, rung = self._queue.popleft()
            if isinstance(given, Trial):
                asked.append(self._promotion(given, rung))
            else:
                asked.append(self.candidate(given, origin="random", budget=self.config.budgets[rung]))
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        self._n_told += len(trials)
        self._told += trials

    def _fill(self) -> None:
        """Queue the next rung of this bracket, or the first of the next."""
        assert self.objective is not None
        kept = self.objective.ranked(self._told)[: max(1, len(self._told) // self.config.eta)]
        self._told = []
        if kept and self._rung + 1 < len(self.config.budgets):
            self._rung += 1
            self._queue.extend((trial, self._rung) for trial in kept)
            return
        self._rung, n = next(self._brackets)
        self._n_brackets += 1
        self._queue.extend((row, self._rung) for row in self._fresh(n, "bracket", self._n_brackets))


@listed(
    "strategy",
    "successive-halving",
    summary="many short trainings, the best third of them three times as long, and so on; then anew",
    source="Jamieson & Talwalkar, AISTATS 2016, arXiv:1502.07943",
)
class SuccessiveHalving(Hyperband):
    """Hyperband's first bracket, again and again: it begins on the lowest rung.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    only_first = True


@listed(
    "strategy",
    "asha",
    summary="asynchronous successive halving: promotes whatever is among the best of its rung so far",
    source="Li et al., MLSys 2020, arXiv:1810.05934",
)
class Asha(_Bandit):
    """Asynchronous successive halving (Li et al., MLSys 2020, Algorithm 2): no rung waits to be full.

    Each candidate is a promotion from the highest rung that has one to give: a complete trial that is among the best
    1/eta of its rung and was not promoted yet. Where none has, it is a new random architecture on the lowest rung.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    def __init__(self, space: Space, config: HalvingConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(space, config, seed=seed)
        self.lookahead = self.config.lookahead
        self._rungs = [_Rung() for _ in self.config.budgets]
        self._due: deque[tuple[Trial, int] | None] = deque([None] * self.config.lookahead)  # what each free place gets

    def ask(self, n: int) -> list[Candidate]:
        asked: list[Candidate] = []
        while self._due and len(asked) < n:
            due = self._due.popleft()
            if due is not None:
                asked.append(self._promotion(*due))
                continue
            rows = self._fresh(1, "random", self.n_asked)
            if rows:
                asked.append(self.candidate(rows[0], origin="random", budget=self.config.budgets[0]))
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            rung = self.config.budgets.index(trial.candidate.budget or 0)
            self._rungs[rung].trials.append(trial)
            self._due.append(self._next())

    def _next(self) -> tuple[Trial, int] | None:
        """The next promotion; None for a new architecture."""
        assert self.objective is not None
        for rung in reversed(range(len(self._rungs) - 1)):
            here = self._rungs[rung]
            best = self.objective.ranked(here.trials)[: len(here.trials) // self.config.eta]
            for trial in best:
                if trial.number not in here.promoted:
                    here.promoted.add(trial.number)
                    return trial, rung + 1
        return None
