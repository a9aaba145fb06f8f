"""Random search: every feasible architecture is equally likely, and none is tried twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy

MAX_BLOCK = 256


@listed(
    "strategy",
    "random",
    summary="uniform over the feasible architectures, none twice; the baseline beside every method",
    source="Li & Talwalkar, UAI 2019, arXiv:1902.07638",
)
class Random(Strategy):
    """Uniform over the feasible architectures, without replacement; ends when no new one is found.

    They are drawn in blocks that double from one to `MAX_BLOCK`. So the candidates depend neither on how many are asked
    at once nor on `n_trials`, a few trials under tight limits cost few draws, and many trials cost little each.

    Args:
        space: The space to search.
        n_trials: Most trials.
        seed: See `Strategy`.

    Attributes:
        is_uniform: Whether all its candidates are random: it was not told with which to begin.
    """

    lookahead = None

    def __init__(self, space: Space, *, n_trials: int = 100, seed: int = 0) -> None:
        super().__init__(space, n_trials=n_trials, seed=seed)
        self._drawn: set[bytes] = set()
        self._queue: deque[NDArray[np.int16]] = deque()
        self._is_exhausted = False
        self.is_uniform = True

    def begin_with(self, rows: Rows) -> None:
        super().begin_with(rows)
        self.is_uniform = False

    def ask(self, n: int) -> list[Candidate]:
        while len(self._queue) < n and not self._is_exhausted:
            self._draw()
        return [self.candidate(self._queue.popleft(), origin="random") for _ in range(min(n, len(self._queue)))]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Do nothing: random search does not depend on trials."""

    def _draw(self) -> None:
        """Queue the next block."""
        first = len(self._drawn)
        n = min(max(1, first), MAX_BLOCK)
        rng = np.random.default_rng(derive_seed(self.seed, "random", first))
        try:
            rows = self.drawn(n, rng, exclude=self._drawn)
        except InfeasibleError:
            if not first:
                raise
            rows = np.empty((0, len(self.decisions)), dtype=np.int16)
        self._queue.extend(rows)
        self._is_exhausted = len(rows) < n
