"""The comparison of strategies: incumbents by hand, statistics against closed forms, searches that are paired."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import wilcoxon

from archwright.core.arch import Arch
from archwright.core.errors import UsageError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.tabular.bench import _Members, compare, incumbents, interval, paired_difference, strategy_maker, summary
from archwright.tabular.benchmark import Benchmark

OBJECTIVE = Objective((Goal("score"),), (Constraint("ms", 2.0),))


def trial(number: int, score: float | None, ms: float = 1.0) -> Trial:
    candidate = Candidate(number, Arch({"x": number}), 0)
    if score is None:
        return Trial(candidate, "failed", costs={"ms": ms}, failure="why")
    return Trial(candidate, metrics={"score": score}, costs={"ms": ms})


def test_incumbents_by_hand() -> None:
    """Nothing yet; the first; a better one over the limit; a failed one; a better one; a tie, won by the earlier."""
    trials = [trial(0, None), trial(1, 5), trial(2, 9, ms=3), trial(3, None), trial(4, 7), trial(5, 7)]
    truth = np.array([0.0, 10, 20, 30, 40, 50])
    found = incumbents(trials, OBJECTIVE, truth, 8)
    np.testing.assert_array_equal(found, [np.nan, 10, 10, 10, 40, 40, 40, 40])


def test_longer_trainings_count_for_more_and_replace_shorter_ones() -> None:
    """Budgets 1, 1, 3, 1 of evaluations of 1: ends at 1, 2, 5 and 6; the long one leads though its score is lower."""
    trials = [
        Trial(Candidate(i, Arch({"x": i}), 0, budget), metrics={"score": score}, costs={"ms": 1.0})
        for i, (budget, score) in enumerate([(1, 5.0), (1, 9.0), (3, 4.0), (1, 99.0)])
    ]
    found = incumbents(trials, OBJECTIVE, np.array([1.0, 2, 3, 4]), 7, np.array([1.0, 1, 3, 1]))
    np.testing.assert_array_equal(found, [1, 2, 2, 2, 3, 3, 3])


def test_shorter_trials_than_one_evaluation() -> None:
    """Three thirds are one evaluation; what ends within it is seen at its end."""
    trials = [trial(0, 1.0), trial(1, 3.0), trial(2, 2.0)]
    found = incumbents(trials, OBJECTIVE, np.array([1.0, 2, 3]), 1, np.full(3, 1 / 3))
    assert found.tolist() == [2.0]


def test_a_summary_of_seeds() -> None:
    """Seeds without an incumbent are counted, not averaged."""
    found = summary(np.array([1.0, 2.0, 6.0, np.nan]))
    assert (found["mean"], found["median"], found["without"]) == (3.0, 2.0, 1)
    assert summary(np.array([np.nan]))["mean"] is None


def test_the_interval_is_that_of_the_mean() -> None:
    """Of many seeds about two standard errors to either side."""
    values = np.random.default_rng(0).normal(3, 1, size=400)
    low, high = interval(values)
    assert (low, high) == pytest.approx((values.mean() - 1.96 / 20, values.mean() + 1.96 / 20), abs=0.015)


def test_differences_are_paired() -> None:
    """A shift far smaller than the spread of seeds is seen; p is scipy's."""
    others = np.random.default_rng(0).normal(size=30)
    scores = others + 0.01 + 0.001 * np.arange(30)
    found = paired_difference(scores, others)
    assert found["mean"] == pytest.approx(0.01 + 0.0145)
    assert found["p"] == wilcoxon(scores - others, zero_method="zsplit").pvalue < 1e-6
    assert paired_difference(others, others) == {"mean": 0.0, "ci95": [0.0, 0.0], "p": 1.0}


def test_random_search_stands_beside(made: Callable[..., Benchmark]) -> None:
    """Two strategies, five seeds; random search first, and again the same figures."""
    one, other = (compare(made(), ["local-search"], n_evals=6, n_seeds=5).to_json() for _ in range(2))
    assert list(one["curves"]) == ["random", "local-search"]
    assert (one["seeds"], one["evaluations"], one["optimum"]) == (5, 6, 100.0)
    assert list(one["curves"]["random"]) == ["6"]
    for found in (one, other):
        del found["seconds"]
    assert one == other


def test_a_search_of_everything_ends_at_the_best_signal(made: Callable[..., Benchmark]) -> None:
    """Twelve members whose signal is the reverse of their worth: every strategy ends at the worst true score."""
    found = compare(made(), ["nsga2", "regularized-evolution"], n_evals=60, n_seeds=3)
    assert found.at("random", 60).tolist() == [89.0] * 3
    assert found.share_of_optimum("random", 60) == 0
    assert found.optimum == 100


def test_the_optimum_is_one_within_the_limits(made: Callable[..., Benchmark]) -> None:
    """Members 1, 4, 7 and 10 have 2 ms, 2, 5, 8 and 11 have 3; the best true score is that of member 0."""
    assert compare(made(), [], n_evals=3, n_seeds=2, limits={"ms": 2.5}).optimum == 100
    assert compare(made(true={0: "1", 3: "2"}), [], n_evals=3, n_seeds=2, limits={"ms": 1}).optimum == 94


def test_only_members_of_the_table_are_tried(made: Callable[..., Benchmark]) -> None:
    """Eleven of twelve: a search of everything ends after eleven trials, none of them failed."""
    found = compare(made(missing=True), ["local-search"], n_evals=30, n_seeds=3)
    assert np.isfinite(found.at("local-search", 30)).all()
    assert found.at("random", 30).tolist() == [90.0] * 3


def test_settings_reach_a_strategy(made: Callable[..., Benchmark]) -> None:
    strategy = strategy_maker("regularized-evolution", {"population": "5", "sample": "2"})(made().space, 30, 0)
    assert (strategy.config.population, strategy.config.cycles) == (5, 30)  # type: ignore[attr-defined]


def test_the_hypervolume_of_a_front_by_hand(made: Callable[..., Benchmark]) -> None:
    """True front: 100 at 1 ms alone would dominate, so member 0 costs 3 ms and member 1 costs 1 ms.

    Ideal (-100, 1), worst (-99, 3), reference a tenth behind: in units of the frame the corners are (0, 2/2.2) and
    (1/1.1, 0), the volume is that of two boxes. Only members 0 to 2 are in the table's first three evaluations.
    """
    times = {0: "3", 1: "1", **dict.fromkeys(range(2, 12), "9")}
    benchmark = made(ms=times, short={i: str(100 - i) for i in range(12)})
    whole = compare(benchmark, [], n_evals=60, n_seeds=1, goals=["ms"])
    assert whole.at("random", 60).tolist() == [1.0]
    assert whole.metric == "hypervolume of top1_accuracy, ms"
    objective = Objective((Goal("top1_accuracy"), Goal("ms", "min")))
    members = _Members(benchmark, objective)
    first = Trial(Candidate(0, Arch({"x": 0}), 0), metrics={"top1_accuracy": 100.0}, costs={"ms": 3.0})
    found = members.shares_of_volume([first], np.array([0]), 2, np.ones(1))
    x, y = 1 / 1.1, 2 / 2.2  # of the other corner, from the ideal
    best = 1 * (1 - y) + (1 - x) * 1 - (1 - x) * (1 - y)
    np.testing.assert_allclose(found, [0, (1 - y) * 1 / best])  # told at the end alone


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"goals": ["mj"]}, "unknown column 'mj'"),
        ({"n_evals": 0}, "0 evaluations compare nothing"),
        ({"n_seeds": 0}, "0 seeds compare nothing"),
        ({"strategies": ["evolve"]}, "unknown strategy 'evolve'"),
        ({"limits": {"mj": 1.0}}, "unknown column 'mj'"),
        ({"limits": {"ms": 0.5}}, "no architecture of space"),
        ({"budget": 3}, "no evaluation of 3 epochs"),
        ({"settings": {"nsga2": {"population": "4"}}}, "'nsga2', which is not among the strategies random"),
        ({"settings": {"random": {"x": "4"}}}, "'random' has no settings"),
    ],
)
def test_what_cannot_be_compared(change: dict[str, object], said: str, made: Callable[..., Benchmark]) -> None:
    given: dict[str, object] = {"strategies": [], "n_evals": 3, "n_seeds": 2, **change}
    with pytest.raises(UsageError, match=said):
        compare(made(), given.pop("strategies"), **given)  # type: ignore[arg-type]
