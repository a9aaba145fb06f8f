"""SPOS evolution: limits, budget, parents, reproducibility."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.spaces import Space, SposSpace
from archwright.strategies import Evolution, EvolutionConfig, Random
from archwright.strategies.base import Strategy
from archwright.testing import BranchSpace, ElasticSpace, StrategyContract

SPACE = ElasticSpace()
SMALL = EvolutionConfig(population=12, top=4, mutations=5, crossovers=5, generations=6)
OBJECTIVE = Objective((Goal("score"),), (Constraint("cost", 9.0),))


class TestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return Evolution(space, SMALL, seed=seed)


def cost_of(rows: Rows) -> NDArray[np.float64]:
    """A made-up cost that two archs in three keep below the limit."""
    return np.maximum(rows, 0).sum(axis=1).astype(np.float64)


def score_of(space: Space, arch: Candidate) -> float:
    """A made-up accuracy with many ties."""
    row = space.row(arch.arch)
    return float((np.maximum(row, 0) * np.arange(len(row)) % 7).sum())


def evaluated(space: Space, candidate: Candidate) -> Trial:
    cost = float(cost_of(space.row(candidate.arch)[None])[0])
    return Trial(candidate, metrics={"score": score_of(space, candidate)}, costs={"cost": cost})


def bound(strategy: Strategy) -> Strategy:
    strategy.bind(OBJECTIVE, lambda rows: cost_of(rows) <= 9.0)
    return strategy


def search(strategy: Strategy, space: Space = SPACE, batch: int = 100) -> list[Trial]:
    """Ask and tell until nothing more is asked."""
    trials: list[Trial] = []
    while asked := strategy.ask(batch):
        told = [evaluated(space, candidate) for candidate in asked]
        strategy.tell(told)
        trials += told
    return trials


@pytest.mark.parametrize("seed", range(5))
def test_limits_novelty_and_budget(seed: int) -> None:
    """Nothing above the limit, nothing twice, at most 12 x (6 + 1) trials - and not fewer where the space suffices."""
    trials = search(bound(Evolution(SPACE, SMALL, seed=seed)))
    assert max(trial.costs["cost"] for trial in trials) <= 9.0
    assert len({trial.arch for trial in trials}) == len(trials) == SMALL.n_evaluations == 12 * 7


def test_defaults_are_the_papers() -> None:
    """50 a generation, best 10, 25 and 25 children at 0.1, 20 generations: at most 1,050 evaluations."""
    config = EvolutionConfig()
    assert (config.population, config.top, config.mutations, config.crossovers) == (50, 10, 25, 25)
    assert (config.mutation_probability, config.generations, config.n_evaluations) == (0.1, 20, 1050)


def test_generations_are_made_as_configured() -> None:
    """First all random, then 5 mutants, 5 crossovers and 2 random ones, in this order."""
    trials = search(bound(Evolution(SPACE, SMALL, seed=0)))
    origins = [trial.candidate.origin for trial in trials]
    assert origins[:12] == ["random"] * 12
    assert origins[12:24] == ["mutation"] * 5 + ["crossover"] * 5 + ["random"] * 2


def test_the_best_never_gets_worse_from_generation_to_generation() -> None:
    """The best score up to each generation ascends, and ends above where it began."""
    trials = search(bound(Evolution(SPACE, SMALL, seed=0)))
    bests = [max(trial.metrics["score"] for trial in trials[: 12 * g]) for g in range(1, 8)]
    assert bests == sorted(bests)
    assert bests[-1] > bests[0]


def test_parents_are_the_best_of_the_whole_history() -> None:
    """Recomputed for every child: among the 4 best trials before its generation, ties to the earlier one."""
    trials = search(bound(Evolution(SPACE, SMALL, seed=0)))
    n_children = 0
    for trial in trials:
        if trial.candidate.parent is not None:
            before = trials[: trial.number // 12 * 12]
            best = sorted(before, key=lambda t: (-t.metrics["score"], t.number))[:4]
            assert trial.candidate.parent in {parent.number for parent in best}
            n_children += 1
    assert n_children == sum(trial.candidate.origin != "random" for trial in trials) > 40


def test_without_mutation_probability_mutants_give_up() -> None:
    """A copy of a parent is never new: ten times the wanted tries, then the generation is filled at random."""
    config = EvolutionConfig(population=6, top=2, mutations=6, crossovers=0, mutation_probability=0.0, generations=2)
    trials = search(bound(Evolution(SposSpace(input_shape=(1, 8, 8)), config)), SposSpace(input_shape=(1, 8, 8)))
    assert {trial.candidate.origin for trial in trials} == {"random"}
    assert len(trials) == 18


def test_a_generation_waits_for_its_trials() -> None:
    """Many asks before a tell: the population once, then nothing until all of it is told."""
    strategy = bound(Evolution(SPACE, SMALL))
    asked = [*strategy.ask(7), *strategy.ask(7), *strategy.ask(7)]
    assert len(asked) == 12
    strategy.tell([evaluated(SPACE, candidate) for candidate in asked[:-1]])
    assert strategy.ask(1) == []
    strategy.tell([evaluated(SPACE, asked[-1])])
    assert len(strategy.ask(1)) == 1


def test_failed_trials_are_survived_and_no_parents() -> None:
    """Every other trial fails; no child descends from one of them."""
    strategy = bound(Evolution(SPACE, SMALL))
    failed, parents = set(), set()
    while asked := strategy.ask(100):
        parents |= {candidate.parent for candidate in asked} - {None}
        failed |= {candidate.number for candidate in asked if candidate.number % 2}
        strategy.tell([Trial(c, "failed", failure="no") if c.number in failed else evaluated(SPACE, c) for c in asked])
    assert strategy.n_asked == 84
    assert parents
    assert not parents & failed


def test_all_trials_failing_leaves_random_search() -> None:
    """Nobody to breed from."""
    strategy = bound(Evolution(SPACE, SMALL))
    origins = []
    while asked := strategy.ask(100):
        origins += [candidate.origin for candidate in asked]
        strategy.tell([Trial(candidate, "failed", failure="no") for candidate in asked])
    assert origins == ["random"] * 84


def test_a_space_smaller_than_a_population_is_asked_once_over() -> None:
    """Twelve archs, then the search ends."""
    space = BranchSpace()
    strategy = Evolution(space, EvolutionConfig(population=50, generations=3))
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    assert len({trial.arch for trial in search(strategy, space)}) == 12


def test_it_finds_better_archs_than_random_search() -> None:
    """Counting matches with a hidden arch of 4^10: mean of ten seeds, at equal numbers of trials."""
    space = SposSpace(input_shape=(1, 8, 8))
    hidden = space.decisions.sample(1, np.random.default_rng(9))[0]

    def best(strategy: Strategy, n: Callable[[Strategy], int]) -> float:
        strategy.bind(Objective((Goal("score"),)), lambda rows: np.ones(len(rows), bool))
        scores: list[float] = []
        while asked := strategy.ask(n(strategy)):
            told = [Trial(c, metrics={"score": float((space.row(c.arch) == hidden).sum())}) for c in asked]
            strategy.tell(told)
            scores += [trial.metrics["score"] for trial in told]
        assert len(scores) == 84
        return max(scores)

    evolved = np.mean([best(Evolution(space, SMALL, seed=seed), lambda s: 12) for seed in range(10)])
    drawn = np.mean([best(Random(space, seed=seed), lambda s: 84 - s.n_asked) for seed in range(10)])
    assert evolved >= drawn + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 0}, "evolution.population is 0"),
        ({"top": 0}, "evolution.top is 0"),
        ({"mutations": -1}, "evolution.mutations is -1"),
        ({"generations": -1}, "evolution.generations is -1"),
        ({"population": 40}, "25 mutants and 25 crossovers in a population of 40"),
        ({"mutation_probability": 1.5}, "mutation_probability is 1.5"),
    ],
)
def test_impossible_numbers_are_refused(arguments: dict[str, float], message: str) -> None:
    """By name and value."""
    with pytest.raises(InvalidValueError, match=message):
        EvolutionConfig(**arguments)  # type: ignore[arg-type]
