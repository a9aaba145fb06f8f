"""Grid search: every feasible architecture once, in a fixed order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.config import MAX_TRIALS, check_range
from archwright.core.decisions import Decision, Rows
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.trial import Candidate, Trial
from archwright.spaces.base import Space
from archwright.strategies.base import MAX_DRAWS, Strategy

FIRST_CHUNK, LARGEST_CHUNK = 16, 1024


@dataclass(frozen=True)
class GridConfig:
    """Which architectures to try, and how many.

    Attributes:
        n_trials: Most trials, from the beginning of the order; None tries all.
        levels: Most values to try of a number or a repeat, evenly spread from the smallest to the largest; None tries
            all.
    """

    n_trials: int | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        if self.n_trials is not None:
            check_range("grid.n_trials", self.n_trials, 1, MAX_TRIALS)
        if self.levels is not None and self.levels < 2:
            raise InvalidValueError(f"grid.levels is {self.levels}; give at least 2, or none for all values")


@listed(
    "strategy",
    "grid",
    summary="every feasible architecture once, in a fixed order; coarser where asked for fewer levels",
)
class Grid(Strategy):
    """Every feasible architecture once, with the last decision changing fastest; ends after the last one.

    Rows are made as they are needed, so a space may have any size. The search ends if a million architectures in a
    row are infeasible.

    Args:
        space: The space to search.
        config: Which architectures, and how many; None tries all.
        seed: Seed of the candidates' evaluations; the candidates do not depend on it.
    """

    Config = GridConfig
    lookahead = None

    def __init__(self, space: Space, config: GridConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or GridConfig()
        super().__init__(space, n_trials=self.config.n_trials or space.size(), seed=seed)
        self._chunks = _chunks(
            self.decisions.walk([_kept(decision, self.config.levels) for decision in space.decisions])
        )
        self._waiting: deque[NDArray[np.int16]] = deque()

    def ask(self, n: int) -> list[Candidate]:
        asked: list[Candidate] = []
        while len(asked) < n and self.n_asked < self.n_trials and self._find():
            asked.append(self.candidate(self._waiting.popleft(), origin="grid"))
        return asked

    def begin_with(self, rows: Rows) -> None:
        """Refuse: a grid draws nothing.

        Args:
            rows: What it would begin with.

        Raises:
            InvalidValueError: Always.
        """
        raise InvalidValueError(
            "a grid has an order of its own, so it cannot begin with chosen architectures; leave them out"
        )

    def tell(self, trials: Sequence[Trial]) -> None:
        """Do nothing: a grid does not depend on trials."""

    def _find(self) -> bool:
        """Whether there is a further feasible row; it waits then."""
        n_looked_at = 0
        while not self._waiting and n_looked_at < MAX_DRAWS and (rows := next(self._chunks, None)) is not None:
            n_looked_at += len(rows)
            self._waiting.extend(rows[self.feasible(rows)])
        if not self._waiting and not self.n_asked:
            raise InfeasibleError(
                f"none of the first {n_looked_at:,} architectures of the grid meets the limits; "
                "raise a limit, or search at random"
            )
        return bool(self._waiting)


def _kept(decision: Decision, levels: int | None) -> list[int]:
    """Positions of a decision's values on the grid, ascending."""
    n = len(decision.values)
    if levels is None or levels >= n or decision.kind not in ("number", "repeat"):
        return list(range(n))
    ordered = sorted(range(n), key=decision.values.__getitem__)
    return sorted(ordered[round(place)] for place in np.linspace(0, n - 1, levels))


def _chunks(blocks: Iterator[Rows]) -> Iterator[Rows]:
    """The rows of blocks in pieces that grow: where costs are slow, the first are not kept waiting by the rest."""
    size = FIRST_CHUNK
    for rows in blocks:
        start = 0
        while start < len(rows):
            yield rows[start : start + size]
            start += size
            size = min(2 * size, LARGEST_CHUNK)
