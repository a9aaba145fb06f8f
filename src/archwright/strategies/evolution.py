"""The evolutionary search of Single Path One-Shot (Guo et al., 2020, Algorithm 1 and released code)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.trial import Candidate, Trial
from archwright.core.variation import crossover, resample
from archwright.spaces.base import Space
from archwright.strategies.base import Proposal, Strategy


@dataclass(frozen=True)
class EvolutionConfig:
    """Numbers of the search; defaults are the released code's (src/Search/search.py).

    Attributes:
        population: Candidates in each generation.
        top: How many of the best trials so far may become parents.
        mutations: Children by mutation in each generation.
        crossovers: Children by crossover in each generation.
        mutation_probability: Probability that a decision of a mutant is drawn anew, in [0, 1].
        generations: Generations after the first, random one.
    """

    population: int = 50
    top: int = 10
    mutations: int = 25
    crossovers: int = 25
    mutation_probability: float = 0.1
    generations: int = 20

    def __post_init__(self) -> None:
        for name, least in (("population", 1), ("top", 1), ("mutations", 0), ("crossovers", 0), ("generations", 0)):
            check_range(f"evolution.{name}", getattr(self, name), least, 1_000_000)
        if self.mutations + self.crossovers > self.population:
            raise InvalidValueError(
                f"evolution has {self.mutations} mutants and {self.crossovers} crossovers "
                f"in a population of {self.population}; together they must fit into it"
            )
        if not 0 <= self.mutation_probability <= 1:
            raise InvalidValueError(
                f"evolution.mutation_probability is {self.mutation_probability}; give a number from 0 to 1"
            )

    @property
    def n_evaluations(self) -> int:
        """Most trials a search may take."""
        return self.population * (self.generations + 1)


@listed(
    "strategy",
    "spos-evolution",
    summary="generations of mutants and crossovers of the best so far, under hard limits; nothing is evaluated twice",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class Evolution(Strategy):
    """Generations of mutants and crossovers of the best trials so far, filled up with random archs.

    Parents are the best `top` trials of the whole history, not of the last generation. Every candidate keeps the
    limits and is new; mutation and crossover each give up after ten times the wanted number of tries. Mutants
    redraw each decision with a fixed probability, crossovers take each decision from one of two parents.

    Deviations from the released code: ties are broken by age instead of top-5 error if the objective has one goal,
    and trials of the last generation may win (as in its evaluation script).

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    Config = EvolutionConfig
    lookahead = None  # a generation is bred when the one before is told

    def __init__(self, space: Space, config: EvolutionConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or EvolutionConfig()
        super().__init__(space, n_trials=self.config.n_evaluations, seed=seed)
        self._visited: set[bytes] = set()
        self._queue: deque[Proposal] = deque()
        self._best: list[Trial] = []
        self._n_told = 0
        self._generation = -1

    def resize(self, n_trials: int) -> None:
        super().resize(n_trials)
        self.config = replace(self.config, generations=-(-n_trials // self.config.population) - 1)

    def ask(self, n: int) -> list[Candidate]:
        if not self._queue and self._n_told == self.n_asked and self._generation < self.config.generations:
            self._generation += 1
            self._queue.extend(self._next_generation())
        return self.queued(self._queue, n)

    def tell(self, trials: Sequence[Trial]) -> None:
        assert self.objective is not None
        self._n_told += len(trials)
        self._best = self.objective.ranked([*self._best, *trials])[: self.config.top]

    def _next_generation(self) -> list[Proposal]:
        rng = self.rng("generation")
        children: list[Proposal] = []
        if self._best:
            children += self._breed(self.config.mutations, rng, self._mutants)
            children += self._breed(self.config.crossovers, rng, self._crossovers)
        missing = self.config.population - len(children)
        try:
            fresh = self.drawn(missing, rng, exclude=self._visited)
        except InfeasibleError:
            if self._best:
                return children  # limits so tight that only bred archs meet them
            raise
        return children + [(row, "random", None) for row in fresh]

    def _breed(
        self, n: int, rng: np.random.Generator, make: Callable[[int, np.random.Generator], tuple[Rows, list[int], str]]
    ) -> list[Proposal]:
        """Up to n new, feasible children, from at most 10 n tries."""
        children: list[Proposal] = []
        for _ in range(10):
            if len(children) == n:
                break
            rows, parents, origin = make(n, rng)
            for row, parent, feasible in zip(rows, parents, self.feasible(rows), strict=True):
                key = row.tobytes()
                if feasible and key not in self._visited and len(children) < n:
                    self._visited.add(key)
                    children.append((row, origin, parent))
        return children

    def _mutants(self, n: int, rng: np.random.Generator) -> tuple[Rows, list[int], str]:
        parents = rng.integers(len(self._best), size=n)
        rows = resample(self.decisions, self._rows(parents), rng, probability=self.config.mutation_probability)
        return rows, self._numbers(parents), "mutation"

    def _crossovers(self, n: int, rng: np.random.Generator) -> tuple[Rows, list[int], str]:
        mothers, fathers = rng.integers(len(self._best), size=(2, n))
        return (
            crossover(self.decisions, self._rows(mothers), self._rows(fathers), rng),
            self._numbers(mothers),
            "crossover",
        )

    def _rows(self, which: NDArray[np.int64]) -> Rows:
        return self.decisions.rows([trial.arch for trial in self._best])[which]

    def _numbers(self, which: NDArray[np.int64]) -> list[int]:
        return [self._best[i].number for i in which]
