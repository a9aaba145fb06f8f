"""Regularized (aging) evolution (Real, Aggarwal, Huang and Le, AAAI 2019, arXiv:1802.01548)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archwright.core.catalog import listed
from archwright.core.config import MAX_TRIALS, check_range
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.spaces.base import Space
from archwright.strategies.base import Outlook, Proposal, Strategy

TRIES = (1, 7, 56, 448)
"""How many mutants are drawn at the first, second, … attempt to find one that keeps the limits."""


@dataclass(frozen=True)
class RegularizedEvolutionConfig:
    """Numbers of the search; defaults are the paper's (its large-scale setting).

    Attributes:
        population: Number of trials alive; the paper's P.
        sample: Draws of a tournament, the paper's S; 1 makes it a random walk.
        cycles: Number of trials in all, including the initial population; the paper's C.
        aging: Whether the oldest trial dies; if not, the worst of the tournament does ("non-aging evolution").
        identity_probability: Probability that a child equals its parent, which is then evaluated once more.
        lookahead: Candidates asked before the oldest of them is told, so as many can run at the same time. The result
            depends on it, because the trials that still run are not in the population that breeds.
    """

    population: int = 100
    sample: int = 25
    cycles: int = 20_000
    aging: bool = True
    identity_probability: float = 0.05
    lookahead: int = 1

    def __post_init__(self) -> None:
        for name in ("population", "sample", "lookahead"):
            check_range(f"evolution.{name}", getattr(self, name), 1, 1_000_000)
        check_range("evolution.cycles", self.cycles, 1, MAX_TRIALS)
        if self.cycles < self.population:
            raise InvalidValueError(
                f"evolution.cycles is {self.cycles} for a population of {self.population}; "
                "it counts all trials, so give at least as many"
            )
        if not 0 <= self.identity_probability <= 1:
            raise InvalidValueError(
                f"evolution.identity_probability is {self.identity_probability}; give a number from 0 to 1"
            )


@listed(
    "strategy",
    "regularized-evolution",
    summary="mutants of the best of a random sample replace the oldest of the population (aging evolution)",
    source="Real et al., AAAI 2019, arXiv:1802.01548",
)
class RegularizedEvolution(Strategy):
    """A queue of P trials: the best of S trials drawn from it gets a child, which joins the queue; the oldest leaves.

    Draws are with replacement and ties go to the first drawn. An arch may be evaluated more than once. The answer is
    the best of all trials, alive or not.

    Additions to the paper: children keep the limits (mutants are drawn until one does; if none is found, the child is a
    random arch). A failed trial ages like any other but never wins; if all trials of a tournament have failed, the
    child is random. A mutation is one step of the space (`Space.mutate`), which by default changes one decision.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    Config = RegularizedEvolutionConfig
    may_repeat = True

    def __init__(self, space: Space, config: RegularizedEvolutionConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or RegularizedEvolutionConfig()
        super().__init__(space, n_trials=self.config.cycles, seed=seed)
        self.lookahead = self.config.lookahead
        self._space = space
        self._population: list[Trial] = []  # oldest first
        self._n_told = 0
        self._children: deque[Proposal] = deque()
        self._n_bred = 0
        self._drawn: dict[int, list[int]] = {}  # by a child's number, those its parent won against

    def resize(self, n_trials: int) -> None:
        super().resize(n_trials)
        self.config = replace(self.config, cycles=n_trials, population=min(self.config.population, n_trials))

    def outlook(self, n: int) -> list[Outlook]:
        first = min(n, self.config.population)
        return [Outlook(first), Outlook(n - first, is_child=True)]

    def ask(self, n: int) -> list[Candidate]:
        asked: list[Candidate] = []
        while len(asked) < n:
            if self.n_asked < self.config.population:
                proposal = self._random(self.rng("random"))
            else:
                proposal = self._children.popleft() if self._children else None
            if proposal is None:
                break
            row, origin, parent = proposal
            asked.append(self.candidate(row, origin=origin, parent=parent))
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._n_told += 1
            self._take_in(trial)
            # A child is bred as soon as what it may know is told, however late it is asked for: child number j knows
            # all trials but the `lookahead - 1` before it, and at least the initial population.
            due = min(self._n_told + self.config.lookahead, self.config.cycles)
            while self._n_told >= self.config.population and self.config.population + self._n_bred < due:
                self._breed(self.config.population + self._n_bred)

    def _take_in(self, trial: Trial) -> None:
        self._population.append(trial)
        if len(self._population) > self.config.population:
            leaving = 0 if self.config.aging else self._worst(self._drawn.pop(trial.number, []))
            del self._population[leaving]

    def _worst(self, numbers: Sequence[int]) -> int:
        """Place of the worst of those trials that are still alive, of all where none is; the first drawn of equals."""
        assert self.objective is not None
        places = {trial.number: place for place, trial in enumerate(self._population)}
        alive = [places[number] for number in numbers if number in places] or list(places.values())
        return max(alive, key=lambda place: self.objective.value(self._population[place]))  # type: ignore[union-attr]

    def _breed(self, number: int) -> None:
        """Queue the child that will have this number."""
        self._n_bred += 1
        rng = np.random.default_rng(derive_seed(self.seed, "child", number))
        drawn = [self._population[i] for i in rng.integers(len(self._population), size=self.config.sample)]
        if not self.config.aging:
            self._drawn[number] = [trial.number for trial in drawn]
        child = self._child(drawn, rng)
        if child is not None:
            self._children.append(child)

    def _child(self, drawn: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        assert self.objective is not None
        alive = [trial for trial in drawn if trial.is_complete]
        if not alive:
            return self._random(rng)
        parent = min(alive, key=self.objective.value)
        row = self.decisions.row(parent.arch)
        if rng.random() < self.config.identity_probability:
            return row, "identity", parent.number
        for n in TRIES:
            mutants = self._space.mutate(np.repeat(row[None], n, axis=0), rng)
            kept = mutants[self.feasible(mutants)]
            if len(kept):
                return kept[0], "mutation", parent.number
        return self._random(rng)

    def _random(self, rng: np.random.Generator) -> Proposal | None:
        """A random feasible arch; None where none is found although there was one before."""
        try:
            return self.drawn(1, rng)[0], "random", None
        except InfeasibleError:
            if not self.n_asked:
                raise
            return None
