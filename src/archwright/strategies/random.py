"""Random search: every feasible architecture equally likely, none twice."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.core.catalog import listed
from archwright.core.errors import InfeasibleError
from archwright.core.trial import Candidate, Trial
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy, draw_feasible


@listed(
    "strategy",
    "random",
    summary="uniform over the feasible architectures, none twice; the baseline beside every method",
    source="Li & Talwalkar, UAI 2019, arXiv:1902.07638",
)
class Random(Strategy):
    """Uniform over the feasible architectures, without replacement; ends when no new one is found."""

    def __init__(self, space: Space, *, n_trials: int = 100, seed: int = 0) -> None:
        super().__init__(space, n_trials=n_trials, seed=seed)
        self._asked: set[bytes] = set()

    def ask(self, n: int) -> list[Candidate]:
        rows = []
        for _ in range(n):  # one stream a proposal: what is asked does not depend on how many are asked at once
            rng = self.rng("random")
            try:
                drawn = draw_feasible(self.decisions, self.feasible, 1, rng, exclude=self._asked)
            except InfeasibleError:
                if not self.n_asked:
                    raise
                break
            if not len(drawn):
                break
            rows.append(self.candidate(drawn[0], origin="random"))
        return rows

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learned from trials."""
