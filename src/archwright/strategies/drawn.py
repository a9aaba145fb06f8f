"""Architectures drawn from a policy that is trained: how ENAS derives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.policies.base import Policy
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy

BLOCK, MAX_TRIES = 64, 100
"""Architectures drawn at once, and blocks after which uniform ones fill what is missing."""


class Drawn(Strategy):
    """Distinct architectures from a policy, within the limits; uniform ones where it draws no more of them.

    Args:
        space: The space to search.
        policy: Draws them; it is asked at the first `ask`.
        n_trials: How many.
        seed: See `Strategy`.
    """

    lookahead = None

    def __init__(self, space: Space, policy: Policy, *, n_trials: int, seed: int = 0) -> None:
        super().__init__(space, n_trials=n_trials, seed=seed)
        self.policy = policy
        self._rows: list[tuple[Rows, str]] | None = None

    def ask(self, n: int) -> list[Candidate]:
        if self._rows is None:
            self._rows = self._draw()
        asked: list[Candidate] = []
        while len(asked) < n and self.n_asked < len(self._rows):
            row, origin = self._rows[self.n_asked]
            asked.append(self.candidate(row, origin=origin))
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        """Do nothing: what is drawn does not depend on trials."""

    def _draw(self) -> list[tuple[Rows, str]]:
        rng, seen = np.random.default_rng(derive_seed(self.seed, "drawn")), set[bytes]()
        found: list[tuple[Rows, str]] = []
        for _ in range(MAX_TRIES):
            rows = self.policy.draw(BLOCK, rng)
            for row in rows[self.feasible(rows)]:
                if len(found) < self.n_trials and row.tobytes() not in seen:
                    seen.add(row.tobytes())
                    found.append((row, "policy"))
            if len(found) == self.n_trials:
                return found
        try:
            rest = self.drawn(self.n_trials - len(found), rng, exclude=seen)
        except InfeasibleError:
            if not found:
                raise
            return found
        return found + [(row, "random") for row in rest]
