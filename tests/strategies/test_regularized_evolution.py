"""Aging evolution against the fact sheet, a slower simulation, and brute force."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chisquare

from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.nn import Chooser
from archwright.spaces import LeNet, Space
from archwright.strategies import Random, RegularizedEvolution, RegularizedEvolutionConfig
from archwright.strategies.base import Strategy
from archwright.testing import StrategyContract

OBJECTIVE = Objective((Goal("score"),))
SMALL = RegularizedEvolutionConfig(population=10, sample=4, cycles=80)


class TestContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return RegularizedEvolution(space, SMALL, seed=seed)


class TestNonAgingContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        config = RegularizedEvolutionConfig(population=10, sample=4, cycles=80, aging=False, lookahead=3)
        return RegularizedEvolution(space, config, seed=seed)


class Bits(Space):
    """24 bits; nothing is built."""

    n_bits = 24

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"bit{i:02}", (0, 1), "number") for i in range(self.n_bits)])

    def network(self, choose: Chooser) -> object:  # type: ignore[override]
        raise AssertionError("not built here")


Score = Callable[[Candidate], float]


def ones(candidate: Candidate) -> float:
    """The share of ones: the toy landscape of the fact sheet."""
    return float(np.mean([float(value) for value in candidate.arch.values()]))  # type: ignore[arg-type]


def distinct(candidate: Candidate) -> float:
    """No two trials score the same, in no simple order."""
    return (candidate.number * 37 % 1009) / 1009


def all_of(rows: Rows) -> np.ndarray:
    return np.ones(len(rows), bool)


def run(
    config: RegularizedEvolutionConfig,
    score: Score = ones,
    *,
    space: Space | None = None,
    seed: int = 0,
    batch: int = 1,
) -> list[Trial]:
    """Ask and tell in order until nothing more is asked; as many are out as the strategy gives, at most `batch`."""
    strategy = RegularizedEvolution(space or Bits(), config, seed=seed)
    strategy.bind(OBJECTIVE, all_of)
    trials: list[Trial] = []
    out: deque[Candidate] = deque()
    while True:
        out.extend(strategy.ask(batch - len(out)))
        if not out:
            return trials
        candidate = out.popleft()
        trials.append(Trial(candidate, metrics={"score": score(candidate)}))
        strategy.tell(trials[-1:])


def test_paper_numbers_are_the_defaults() -> None:
    """Population 100, sample 25, 20,000 models, 5 % identities, aging, one at a time."""
    config = RegularizedEvolutionConfig()
    assert (config.population, config.sample, config.cycles) == (100, 25, 20_000)
    assert (config.identity_probability, config.aging, config.lookahead) == (0.05, True, 1)


def test_history_has_cycles_trials_of_which_the_first_are_random() -> None:
    """The initial population counts; every later trial is a child."""
    trials = run(SMALL)
    assert [trial.candidate.origin for trial in trials[:10]] == ["random"] * 10
    assert {trial.candidate.origin for trial in trials[10:]} == {"mutation", "identity"}
    assert len(trials) == 80


def test_a_trial_lives_for_population_insertions() -> None:
    """No parent is older than the last P trials, and one that was about to die has had a child."""
    trials = run(RegularizedEvolutionConfig(population=10, sample=4, cycles=2000), distinct)
    ages = [trial.number - parent for trial in trials if (parent := trial.candidate.parent) is not None]
    assert (min(ages), max(ages)) == (1, 10)


def test_a_tournament_of_nearly_all_has_the_best_of_the_living_as_parent() -> None:
    """200 draws from 5: all but surely each of them."""
    trials = run(RegularizedEvolutionConfig(population=5, sample=200, cycles=300), distinct)
    for trial in trials[5:]:
        living = trials[trial.number - 5 : trial.number]
        assert trial.candidate.parent == max(living, key=lambda t: t.metrics["score"]).number


def test_without_aging_the_worst_of_the_tournament_dies() -> None:
    """Then the parent is the best of all so far, and the living are the best P."""
    trials = run(RegularizedEvolutionConfig(population=5, sample=200, cycles=300, aging=False), distinct)
    for trial in trials[5:]:
        best = max(trials[: trial.number], key=lambda t: t.metrics["score"])
        assert trial.candidate.parent == best.number


def test_a_tournament_of_one_is_a_uniform_parent() -> None:
    """Each of the ten ages equally often, whatever the score."""
    trials = run(RegularizedEvolutionConfig(population=10, sample=1, cycles=4000))
    ages = Counter(t.number - t.candidate.parent for t in trials if t.candidate.parent is not None)
    assert sorted(ages) == list(range(1, 11))
    assert chisquare(list(ages.values())).pvalue > 0.01


def test_tournament_odds_are_those_of_draws_with_replacement() -> None:
    """The best of 10 wins among 3 draws with 1 - 0.9^3; without replacement it would be 0.3."""
    trials = run(RegularizedEvolutionConfig(population=10, sample=3, cycles=6000), distinct)
    won = [
        trial.candidate.parent == max(trials[trial.number - 10 : trial.number], key=lambda t: t.metrics["score"]).number
        for trial in trials[10:]
    ]
    assert np.mean(won) == pytest.approx(1 - 0.9**3, abs=0.02)


def test_ties_go_to_the_first_drawn() -> None:
    """Equal scores: parents are uniform over the ages, not always the oldest."""
    trials = run(RegularizedEvolutionConfig(population=10, sample=5, cycles=4000), lambda candidate: 1.0)
    ages = Counter(t.number - t.candidate.parent for t in trials if t.candidate.parent is not None)
    assert chisquare(list(ages.values())).pvalue > 0.01


def test_a_child_differs_in_one_decision_and_is_its_parent_in_one_case_of_twenty() -> None:
    """Of 10,000."""
    trials = run(RegularizedEvolutionConfig(population=10, sample=4, cycles=10_010))
    changed = [
        sum(trials[trial.candidate.parent].arch[name] != value for name, value in trial.arch.items())
        for trial in trials[10:]
        if trial.candidate.parent is not None
    ]
    assert set(changed) == {0, 1}
    assert np.mean(np.equal(changed, 0)) == pytest.approx(0.05, abs=0.007)
    identities = [trial.candidate.origin == "identity" for trial in trials[10:]]
    assert identities == [n == 0 for n in changed]


def test_it_climbs_a_monotone_landscape() -> None:
    """24 bits, 500 trials: at least 95 % of the optimum, where as many random archs stay far below."""
    config = RegularizedEvolutionConfig(population=20, sample=5, cycles=500)
    evolved = [max(trial.metrics["score"] for trial in run(config, seed=seed)) for seed in range(3)]
    drawn = [max(ones(candidate) for candidate in Random(Bits(), seed=seed).ask(500)) for seed in range(3)]
    assert min(evolved) >= 0.95
    assert max(drawn) < 0.9


def test_it_finds_the_optimum_of_a_small_rugged_space() -> None:
    """A made-up score of the 729 LeNets with traps, against all of them, in 200 trials."""
    space = LeNet()
    weights = np.random.default_rng(5).normal(size=(6, 3))
    pairs = np.random.default_rng(6).normal(size=(6, 3, 3))

    def of(row: Rows) -> float:
        alone = sum(weights[i, v] for i, v in enumerate(row))
        return float(alone + 0.5 * sum(pairs[i, row[i], row[(i + 1) % 6]] for i in range(6)))

    best = max(of(row) for row in space.decisions.enumerate_rows())
    config = RegularizedEvolutionConfig(population=15, sample=5, cycles=200)
    found = [
        max(t.metrics["score"] for t in run(config, lambda c: of(space.row(c.arch)), space=space, seed=seed))
        for seed in range(5)
    ]
    assert sum(score == pytest.approx(best) for score in found) >= 4


@pytest.mark.parametrize("aging", [True, False])
@pytest.mark.parametrize("lookahead", [2, 4])
def test_what_is_asked_depends_on_lookahead_not_on_how_many_are_out(aging: bool, lookahead: int) -> None:
    """One worker or many, and a loop that asks late: the same candidates; more lookahead gives others."""
    config = RegularizedEvolutionConfig(population=10, sample=4, cycles=120, aging=aging, lookahead=lookahead)
    runs = [run(config, batch=batch) for batch in (1, 2, 3, lookahead, 100)]
    assert all(trials == runs[0] for trials in runs)
    assert runs[0] != run(RegularizedEvolutionConfig(population=10, sample=4, cycles=120, aging=aging))


@pytest.mark.parametrize("lookahead", [1, 4])
def test_no_more_are_out_than_it_looks_ahead(lookahead: int) -> None:
    """Beyond the initial population, which is drawn at random and may all be out at once."""
    config = RegularizedEvolutionConfig(population=6, sample=2, cycles=30, lookahead=lookahead)
    strategy = RegularizedEvolution(Bits(), config)
    strategy.bind(OBJECTIVE, all_of)
    assert strategy.lookahead == lookahead
    first = strategy.ask(100)
    assert len(first) == 6
    strategy.tell([Trial(candidate, metrics={"score": ones(candidate)}) for candidate in first])
    children = strategy.ask(100)
    assert len(children) == lookahead
    strategy.tell([Trial(children[0], metrics={"score": 0.0})])
    assert len(strategy.ask(100)) == 1


def test_children_do_not_know_those_that_are_running() -> None:
    """With 4 running, no parent is younger than 4 trials, and it was alive when its child was bred."""
    trials = run(RegularizedEvolutionConfig(population=10, sample=4, cycles=1000, lookahead=4), distinct)
    ages = [trial.number - parent for trial in trials[13:] if (parent := trial.candidate.parent) is not None]
    assert (min(ages), max(ages)) == (4, 13)


def test_failed_trials_age_and_never_win() -> None:
    """All fail but every fifth: parents are always complete; a whole population of failures is followed by random."""
    strategy = RegularizedEvolution(Bits(), RegularizedEvolutionConfig(population=5, sample=5, cycles=300))
    strategy.bind(OBJECTIVE, all_of)
    trials: list[Trial] = []
    while asked := strategy.ask(10):
        told = [
            Trial(c, metrics={"score": 0.5})
            if c.number % 5 == 0 and c.number < 200
            else Trial(c, "failed", failure="no")
            for c in asked
        ]
        strategy.tell(told)
        trials += told
    parents = {trial.candidate.parent for trial in trials} - {None}
    assert parents
    assert all(parent % 5 == 0 for parent in parents if parent is not None)
    assert [trial.candidate.origin for trial in trials[205:]] == ["random"] * 95


def test_children_keep_the_limits() -> None:
    """At most six of 24 ones, where most single flips of the best break it."""
    strategy = RegularizedEvolution(Bits(), RegularizedEvolutionConfig(population=10, sample=5, cycles=300))
    strategy.bind(OBJECTIVE, lambda rows: rows.sum(axis=1) <= 6)
    trials: list[Trial] = []
    while asked := strategy.ask(10):
        told = [Trial(candidate, metrics={"score": ones(candidate)}) for candidate in asked]
        strategy.tell(told)
        trials += told
    assert max(trial.metrics["score"] for trial in trials) == 6 / 24
    assert len(trials) == 300


def test_where_no_step_keeps_the_limits_the_child_is_random() -> None:
    """An even number of ones: every flip breaks it."""
    strategy = RegularizedEvolution(
        Bits(), RegularizedEvolutionConfig(population=5, sample=2, cycles=20, identity_probability=0.0)
    )
    strategy.bind(OBJECTIVE, lambda rows: rows.sum(axis=1) % 2 == 0)
    origins = []
    while asked := strategy.ask(10):
        strategy.tell([Trial(candidate, metrics={"score": ones(candidate)}) for candidate in asked])
        origins += [candidate.origin for candidate in asked]
    assert origins == ["random"] * 20


def test_the_space_s_own_step_is_taken() -> None:
    """Here: all bits at once."""

    class Flipping(Bits):
        def mutate(self, rows: Rows, rng: np.random.Generator) -> Rows:
            flipped: Rows = (1 - rows).astype(np.int16)
            return flipped

    trials = run(SMALL, space=Flipping())
    for trial in trials[10:]:
        assert trial.candidate.parent is not None
        row, parent = (Bits().row(t.arch) for t in (trial, trials[trial.candidate.parent]))
        expected = parent if trial.candidate.origin == "identity" else 1 - parent
        assert row.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 0}, "evolution.population is 0"),
        ({"sample": 0}, "evolution.sample is 0"),
        ({"lookahead": 0}, "evolution.lookahead is 0"),
        ({"cycles": 99}, "evolution.cycles is 99 for a population of 100"),
        ({"identity_probability": 1.5}, "identity_probability is 1.5"),
    ],
)
def test_impossible_numbers_are_refused(arguments: dict[str, float], message: str) -> None:
    """By name and value."""
    with pytest.raises(InvalidValueError, match=message):
        RegularizedEvolutionConfig(**arguments)  # type: ignore[arg-type]
