"""The contract of a strategy: ask for candidates, be told trials. It never trains and never evaluates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.objective import Objective
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.spaces.base import Space

Feasible = Callable[[Rows], NDArray[np.bool_]]
MAX_DRAWS = 1_000_000


@dataclass(frozen=True)
class Outlook:
    """Trials of one kind that a search will have, for the estimate of its work.

    Attributes:
        n: How many.
        budget: Their budget; None leaves it to the evaluator.
        is_child: Whether each is varied from an earlier trial.
    """

    n: int
    budget: int | None = None
    is_child: bool = False


Proposal = tuple[NDArray[np.int16], str, int | None]
"""A row to ask for, its origin, and the number of the trial it was varied from."""


class Strategy(ABC):
    """Proposes architectures and learns from their trials.

    Its candidates depend only on the seed and on the trials told so far: there is no hidden random state (the stream
    for a proposal is derived from its number), so asking again and telling stored trials restores a strategy exactly.
    That is how a search resumes.

    Args:
        space: The space to search.
        n_trials: Most trials of a search with it.
        seed: Seed of every proposal, and of the seeds of candidates.

    Attributes:
        lookahead: How many candidates are asked before the oldest of them is told. With 1, each is asked with all that
            is known; with more, as many processes can work at the same time. The result depends on it, but never on
            the number of processes. None: candidates do not depend on trials that are not told yet (as in random
            search, or within a generation), so any number may be asked ahead.
        may_repeat: Whether it may ask for an architecture again.
        Config: Class of its settings, which its constructor takes behind the space; None where it has none.
    """

    lookahead: int | None = 1
    may_repeat: ClassVar[bool] = False
    Config: ClassVar[type[Any] | None] = None

    def __init__(self, space: Space, *, n_trials: int, seed: int = 0) -> None:
        if n_trials < 1:
            raise InvalidValueError(f"a search of {n_trials} trials finds nothing; give at least 1")
        self.n_trials = n_trials
        self.decisions = space.decisions
        self.seed = seed
        self.objective: Objective | None = None
        self.feasible: Feasible = lambda rows: np.ones(len(rows), dtype=bool)
        self.n_asked = 0
        self._first: deque[NDArray[np.int16]] = deque()

    def bind(self, objective: Objective, feasible: Feasible) -> None:
        """Receive the objective and a function that says which rows may be asked; called once, before `ask`."""
        self.objective = objective
        self.feasible = feasible

    def resize(self, n_trials: int) -> None:
        """Make it as long as a search of so many trials, in place of the number it was made with; before `ask`."""
        self.n_trials = n_trials

    def begin_with(self, rows: Rows) -> None:
        """Try these architectures, in this order, where it would draw its first ones at random; before `ask`.

        Args:
            rows: (n, n_decisions); those over a limit are passed over.
        """
        self._first = deque(rows)

    @abstractmethod
    def ask(self, n: int) -> list[Candidate]:
        """At most n candidates; fewer, or none, if it needs to be told trials first or is at its end."""

    @abstractmethod
    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from trials, in ask order."""

    def outlook(self, n: int) -> list[Outlook]:
        """The trials that a search of n will have; by default all alike, and none a child.

        Args:
            n: Trials in all.
        """
        return [Outlook(n)]

    def rng(self, purpose: str) -> np.random.Generator:
        """The random stream for the next proposal; `purpose` separates several streams for it."""
        return np.random.default_rng(derive_seed(self.seed, purpose, self.n_asked))

    def drawn(self, n: int, rng: np.random.Generator, *, exclude: set[bytes] | None = None) -> Rows:
        """Up to n rows within the limits: those it was told to begin with, then random ones, see `draw_feasible`.

        Args:
            n: How many are wanted.
            rng: Source of randomness.
            exclude: `row.tobytes()` of archs not to give; the given ones are added to it.

        Raises:
            InfeasibleError: If there is none.
        """
        seen = set() if exclude is None else exclude
        first = self.given(n, exclude=seen)
        if len(first) == n > 0:
            return first
        try:
            rest = draw_feasible(self.decisions, self.feasible, n - len(first), rng, exclude=seen)
        except InfeasibleError:
            if not len(first):
                raise
            return first
        return np.concatenate([first, rest])

    def given(self, n: int, *, exclude: set[bytes] | None = None) -> Rows:
        """Up to n rows within the limits of those it was told to begin with; each is given once.

        Args:
            n: How many are wanted.
            exclude: As `drawn`.
        """
        seen, found = set() if exclude is None else exclude, list[NDArray[np.int16]]()
        while self._first and len(found) < n:
            row = np.ascontiguousarray(self._first.popleft())
            if row.tobytes() not in seen and self.feasible(row[None])[0]:
                seen.add(row.tobytes())
                found.append(row)
        return np.stack(found) if found else np.empty((0, len(self.decisions)), dtype=np.int16)

    def candidate(
        self, row: NDArray[np.int16], *, origin: str, parent: int | None = None, budget: int | None = None
    ) -> Candidate:
        """The next candidate in ask order, with its number and seed.

        Args:
            row: Its arch as value indices, (n_decisions,).
            origin: How it came about, e.g. "mutation".
            parent: Number of the trial it was varied from, if any.
            budget: What its evaluation may use; None leaves it to the evaluator.
        """
        number = self.n_asked
        self.n_asked += 1
        seed = derive_seed(self.seed, "trial", number)
        return Candidate(number, self.decisions.arch(row), seed, budget, parent, origin)

    def queued(self, queue: deque[Proposal], n: int) -> list[Candidate]:
        """The next candidates, at most n, taken from the front of a queue.

        Args:
            queue: Of rows, each with its origin and the number of its parent.
            n: Most candidates.
        """
        asked: list[Candidate] = []
        while queue and len(asked) < n:
            row, origin, parent = queue.popleft()
            asked.append(self.candidate(row, origin=origin, parent=parent))
        return asked


def draw_feasible(
    decisions: DecisionSpace,
    feasible: Feasible,
    n: int,
    rng: np.random.Generator,
    *,
    exclude: set[bytes] | None = None,
    max_draws: int = MAX_DRAWS,
) -> Rows:
    """Up to n distinct rows, each uniform over the feasible archs that are not excluded.

    Args:
        decisions: The space.
        feasible: Which rows keep the limits.
        n: How many are wanted; fewer are returned if no more are found.
        rng: Source of randomness.
        exclude: `row.tobytes()` of archs not to draw; the drawn ones are added to it.
        max_draws: Number of draws after which the search for further archs ends.

    Raises:
        InfeasibleError: If no draw at all was feasible.
    """
    seen = set() if exclude is None else exclude
    found: list[NDArray[np.int16]] = []
    drawn, n_feasible, chunk = 0, 0, max(4 * n, 64)
    while len(found) < n and drawn < max_draws:
        if decisions.size() < drawn:  # a small space: list what is left instead of drawing until it turns up
            rows = rng.permutation(decisions.enumerate_rows(limit=max_draws))
            drawn = max_draws
        else:
            rows = decisions.sample(chunk, rng)
            drawn += chunk
        rows = rows[feasible(rows)]
        n_feasible += len(rows)
        for row in rows:
            if len(found) < n and (key := row.tobytes()) not in seen:
                seen.add(key)
                found.append(row)
        chunk = min(2 * chunk, 65_536)
    if not n_feasible and n:
        n_tried = min(drawn, decisions.size())
        raise InfeasibleError(f"none of {n_tried} random architectures meets the limits; raise a limit")
    return np.stack(found) if found else np.empty((0, len(decisions)), dtype=np.int16)
