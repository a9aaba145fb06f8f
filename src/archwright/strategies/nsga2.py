"""NSGA-II: evolution towards the whole trade-off of several goals."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.pareto import crowding_distance, fronts
from archwright.core.trial import Candidate, Trial
from archwright.core.variation import crossover
from archwright.spaces.base import Space
from archwright.strategies.base import Proposal, Strategy

MAX_TRIES = 20
"""Rounds of breeding after which a generation stays smaller: nearly all children are known or over a limit then."""


@dataclass(frozen=True)
class Nsga2Config:
    """Numbers of the search.

    Attributes:
        population: Trials that survive a generation, and children of one.
        crossover_probability: Probability that a child has two parents, in [0, 1].
        generations: Generations after the first, random one.
    """

    population: int = 50
    crossover_probability: float = 0.9
    generations: int = 20

    def __post_init__(self) -> None:
        check_range("nsga2.population", self.population, 2, 1_000_000)
        check_range("nsga2.generations", self.generations, 0, 1_000_000)
        if not 0 <= self.crossover_probability <= 1:
            raise InvalidValueError(
                f"nsga2.crossover_probability is {self.crossover_probability}; give a number from 0 to 1"
            )


@listed(
    "strategy",
    "nsga2",
    summary="evolution of the trade-off between several goals, by non-dominated sorting and crowding",
    source="Deb et al., IEEE Trans. Evol. Comput. 2002; in NAS: Lu et al., GECCO 2019, arXiv:1810.03522",
)
class Nsga2(Strategy):
    """Generations of children of tournaments; what is left of parents and children by rank and crowding is the next.

    A tournament of two goes to the lower front, then to the less crowded place (Deb et al., 2002, Sec. III). With one
    goal the fronts are its values, and this is a (P + P) evolution. Children keep the limits and are new: the paper's
    constrained domination is not needed. Each child is changed by a step of the space (`Space.mutate`) behind the
    crossover.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
    """

    Config = Nsga2Config
    lookahead = None  # a generation is bred when the one before is told

    def __init__(self, space: Space, config: Nsga2Config | None = None, *, seed: int = 0) -> None:
        self.config = config or Nsga2Config()
        super().__init__(space, n_trials=self.config.population * (self.config.generations + 1), seed=seed)
        self._space = space
        self._visited: set[bytes] = set()
        self._queue: deque[Proposal] = deque()
        self._population: list[Trial] = []
        self._children: list[Trial] = []
        self._n_told = 0

    def ask(self, n: int) -> list[Candidate]:
        if not self._queue and self._n_told == self.n_asked:
            self._select()
            self._queue.extend(self._next_generation())
        return self.queued(self._queue, n)

    def tell(self, trials: Sequence[Trial]) -> None:
        self._n_told += len(trials)
        self._children += trials

    def _select(self) -> None:
        """The best of parents and children by front, then by how little crowded they are."""
        assert self.objective is not None
        alive = [trial for trial in (*self._population, *self._children) if trial.is_complete]
        self._children = []
        ranks, crowding = self._judged(alive)
        order = np.lexsort((np.arange(len(alive)), -crowding, ranks))
        self._population = [alive[i] for i in order[: self.config.population]]

    def _judged(self, trials: Sequence[Trial]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Front and crowding distance of each trial."""
        assert self.objective is not None
        values = self.objective.values(trials)
        if not len(trials):
            return np.empty(0, dtype=np.int64), np.empty(0)
        ranks, crowding = fronts(values), np.zeros(len(trials))
        for rank in range(int(ranks.max()) + 1):
            crowding[ranks == rank] = crowding_distance(values[ranks == rank])
        return ranks, crowding

    def _next_generation(self) -> list[Proposal]:
        rng = self.rng("generation")
        children = self._breed(rng) if len(self._population) > 1 else []
        missing = self.config.population - len(children)
        try:
            fresh = self.drawn(missing, rng, exclude=self._visited)
        except InfeasibleError:
            if self.n_asked:
                return children
            raise
        return children + [(row, "random", None) for row in fresh]

    def _breed(self, rng: np.random.Generator) -> list[Proposal]:
        ranks, crowding = self._judged(self._population)
        rows = self.decisions.rows([trial.arch for trial in self._population])
        children: list[Proposal] = []
        for _ in range(MAX_TRIES):
            n = self.config.population - len(children)
            if not n:
                break
            mothers, fathers = (self._winners(n, ranks, crowding, rng) for _ in range(2))
            for row, mother in zip(self._children_of(rows[mothers], rows[fathers], rng), mothers, strict=True):
                if (key := row.tobytes()) not in self._visited:
                    self._visited.add(key)
                    children.append((row, "mutation", self._population[mother].number))
        return children

    def _children_of(self, mothers: Rows, fathers: Rows, rng: np.random.Generator) -> Rows:
        """Those children that keep the limits stay; the others are in no place of theirs again."""
        crossed = crossover(self.decisions, mothers, fathers, rng)
        is_crossed = rng.random(len(mothers)) < self.config.crossover_probability
        children = self._space.mutate(np.where(is_crossed[:, None], crossed, mothers), rng)
        feasible = self.feasible(children)
        return np.where(feasible[:, None], children, mothers)  # a parent is known, so it is left out

    def _winners(
        self, n: int, ranks: NDArray[np.int64], crowding: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Winners of n tournaments of two."""
        one, other = rng.integers(len(ranks), size=(2, n))
        is_first = (ranks[one] < ranks[other]) | ((ranks[one] == ranks[other]) & (crowding[one] >= crowding[other]))
        winners: NDArray[np.int64] = np.where(is_first, one, other)
        return winners
