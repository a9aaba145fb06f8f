"""Local search: try all neighbours of the best, go to a better one, begin anew where there is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.errors import InfeasibleError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.core.variation import neighbours
from archwright.spaces.base import Space
from archwright.strategies.base import Proposal, Strategy


@dataclass(frozen=True)
class LocalSearchConfig:
    """Numbers of a local search.

    Attributes:
        start: Random architectures to begin with; the best of them is where the first climb begins.
        first: Whether to go to the first neighbour that is better, not to the best of all neighbours.
    """

    start: int = 1
    first: bool = False

    def __post_init__(self) -> None:
        check_range("local.start", self.start, 1, 1_000_000)


@listed(
    "strategy",
    "local-search",
    summary="all neighbours of the best architecture, then those of the best of them; at a peak it begins anew",
    source="White et al., UAI 2021, arXiv:2005.02960",
)
class LocalSearch(Strategy):
    """Hill climbing over changes of one decision (White, Nolen and Savani, UAI 2021, arXiv:2005.02960, Algorithm 1).

    The neighbours of an architecture that keep the limits and were not tried yet are tried in random order. The climb
    goes on from the best of them if it is better than where it stands, else it begins at a new random architecture.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    Config = LocalSearchConfig

    def __init__(self, space: Space, config: LocalSearchConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or LocalSearchConfig()
        super().__init__(space, n_trials=1_000, seed=seed)
        self.lookahead = 1 if self.config.first else None
        self._visited: set[bytes] = set()
        self._queue: deque[Proposal] = deque()
        self._here: Trial | None = None
        self._seen: list[Trial] = []  # of the present neighbourhood
        self._n_told = self._n_climbs = 0

    def ask(self, n: int) -> list[Candidate]:
        if not self._queue and self._n_told == self.n_asked:
            self._go_on()
        if self.config.first:  # the next one depends on whether this one is better
            n = min(n, 1 - (self.n_asked - self._n_told))
        return self.queued(self._queue, n)

    def tell(self, trials: Sequence[Trial]) -> None:
        assert self.objective is not None
        self._n_told += len(trials)
        self._seen += trials
        if self.config.first and self._here is not None and self._is_better(self.objective.best(trials)):
            self._queue.clear()

    def _is_better(self, found: Trial | None) -> bool:
        assert self.objective is not None
        if found is None or self._here is None:
            return found is not None
        return self.objective.value(found) < self.objective.value(self._here)

    def _go_on(self) -> None:
        """Queue the neighbours of the best trial of the last neighbourhood, or a new random architecture."""
        assert self.objective is not None
        best = self.objective.best(self._seen)
        self._seen = []
        if self._is_better(best):
            assert best is not None
            self._here = best
            self._queue_neighbours(best)
        if not self._queue:
            self._here = None
            self._begin()

    def _queue_neighbours(self, trial: Trial) -> None:
        rng = self.rng("neighbours")
        rows = rng.permutation(neighbours(self.decisions, self.decisions.row(trial.arch), rng))
        for row in rows[self.feasible(rows)] if len(rows) else ():
            if (key := row.tobytes()) not in self._visited:
                self._visited.add(key)
                self._queue.append((row, "neighbour", trial.number))

    def _begin(self) -> None:
        """Queue random architectures; none is left where all were tried."""
        self._n_climbs += 1
        n = self.config.start if self._n_climbs == 1 else 1
        rng = np.random.default_rng(derive_seed(self.seed, "climb", self._n_climbs))
        try:
            rows = self.drawn(n, rng, exclude=self._visited)
        except InfeasibleError:
            if not self.n_asked:
                raise
            return
        self._queue.extend((row, "random", None) for row in rows)
