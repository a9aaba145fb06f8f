"""Rank correlations: by hand, beside scipy and an independent count of pairs, with intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from archwright.core.correlation import COEFFICIENTS, correlations, kendall, pearson, spearman
from archwright.core.errors import InvalidValueError


@pytest.mark.parametrize("coefficient", COEFFICIENTS.values(), ids=COEFFICIENTS)
def test_identical_and_reversed(coefficient: Callable[..., float]) -> None:
    """1 and −1."""
    values = [0.3, 0.1, 0.7, 0.4]
    assert coefficient(values, values) == pytest.approx(1)
    assert coefficient(values, [-value for value in values]) == pytest.approx(-1)


def test_kendall_by_hand() -> None:
    """Of the six pairs of 1 2 3 4 and 1 3 2 4 five agree: (5 − 1) / 6."""
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)


def test_kendall_with_ties_by_hand() -> None:
    """1 1 2 3 and 1 2 2 3: four pairs agree, none disagrees, each list ties one pair: 4 / sqrt(5 · 5)."""
    assert kendall([1, 1, 2, 3], [1, 2, 2, 3]) == pytest.approx(4 / 5)


def test_kendall_counts_pairs() -> None:
    """Beside a loop over all pairs, with many ties."""
    rng = np.random.default_rng(0)
    one, other = rng.integers(6, size=(2, 40))
    pairs = list(itertools.combinations(range(40), 2))
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in pairs]
    total = sum(int(a * b) for a, b in signs)
    untied = [sum(1 for pair in signs if pair[k]) for k in (0, 1)]
    assert kendall(one, other) == pytest.approx(total / math.sqrt(untied[0] * untied[1]))


def test_spearman_and_pearson_by_hand() -> None:
    """Ranks 1 2 3 and 1 3 2: 1 − 6·2 / (3·8) = 0.5; values 0 1 2 and 0 4 2: 2 / sqrt(2 · 8) = 0.5."""
    assert spearman([10, 20, 40], [1, 9, 4]) == pytest.approx(0.5)
    assert pearson([0, 1, 2], [0, 4, 2]) == pytest.approx(0.5)


def test_spearman_shares_tied_ranks() -> None:
    """It is Pearson's coefficient of mean ranks."""
    one, other = [3, 1, 1, 2, 5], [2, 2, 1, 4, 4]
    assert spearman(one, other) == pytest.approx(pearson(stats.rankdata(one), stats.rankdata(other)))


@pytest.mark.parametrize("coefficient", COEFFICIENTS.values(), ids=COEFFICIENTS)
def test_a_constant_has_no_order(coefficient: Callable[..., float]) -> None:
    """Not a number, and no warning."""
    assert math.isnan(coefficient([1, 1, 1], [1, 2, 3]))
    assert math.isnan(coefficient([1, 2, 3], [0.5, 0.5, 0.5]))


def test_all_coefficients_with_intervals() -> None:
    """Values are those of the functions; each lies in its interval, which lies in [−1, 1]."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=60)
    scores = truth + rng.normal(size=60)
    found = correlations(scores, truth, np.random.default_rng(0), n_resamples=200)
    assert found["n"] == 60
    for name, coefficient in COEFFICIENTS.items():
        low, high = found["ci95"][name]
        assert found[name] == coefficient(scores, truth)
        assert -1 <= low < found[name] < high <= 1


def test_intervals_cover_the_truth() -> None:
    """Kendall's value of two normals with correlation 1/2 is 1/3; most of 25 intervals hold it."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(25):
        one = rng.normal(size=40)
        other = 0.5 * one + math.sqrt(0.75) * rng.normal(size=40)
        low, high = correlations(one, other, rng, n_resamples=60)["ci95"]["kendall"]
        hits += low <= 1 / 3 <= high
    assert 20 <= hits <= 25


def test_the_same_generator_gives_the_same_intervals() -> None:
    """Randomness is an argument."""
    values = np.random.default_rng(0).normal(size=(2, 20))
    one, other = (correlations(*values, np.random.default_rng(3), n_resamples=50) for _ in range(2))
    assert one == other


def test_constant_scores_give_no_numbers() -> None:
    """Neither values nor bounds."""
    found = correlations([0.1] * 5, range(5), np.random.default_rng(0), n_resamples=20)
    assert math.isnan(found["kendall"])
    assert all(math.isnan(bound) for bound in found["ci95"]["kendall"])


@pytest.mark.parametrize(("scores", "truth"), [([1, 2], [1, 2, 3]), ([1], [1]), ([1, math.nan], [1, 2])])
def test_what_cannot_be_compared_is_refused(scores: list[float], truth: list[float]) -> None:
    """Lists of different lengths, a single value, not a number."""
    with pytest.raises(InvalidValueError, match=r"give two lists|not finite"):
        kendall(scores, truth)


def test_few_archs_give_no_interval() -> None:
    """Resamples of nine points look more certain than they are; the values themselves are told."""
    values = np.random.default_rng(0).normal(size=(2, 9))
    found = correlations(*values, np.random.default_rng(0), n_resamples=20)
    assert found["kendall"] == kendall(*values)
    assert all(math.isnan(bound) for bounds in found["ci95"].values() for bound in bounds)
