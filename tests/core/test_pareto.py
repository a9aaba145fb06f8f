"""Dominance, fronts, crowding and hypervolume against definitions and hand-counted figures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError
from archwright.core.pareto import crowding_distance, dominates, front, fronts, hypervolume

Floats = NDArray[np.float64]


def front_by_definition(values: Floats) -> list[bool]:
    finite = [row for row in values if np.isfinite(row).all()]
    return [bool(np.isfinite(row).all()) and not any(dominates(other, row) for other in finite) for row in values]


def fronts_by_definition(values: Floats) -> list[int]:
    ranks, left, rank = [-1] * len(values), list(range(len(values))), 0
    while left:
        mask = front_by_definition(values[left])
        for i, is_first in zip(left, mask, strict=True):
            ranks[i] = rank if is_first else -1
        left = [i for i in left if ranks[i] < 0]
        rank += 1
    return ranks


def hypervolume_by_inclusion_exclusion(values: Floats, reference: Floats) -> float:
    total = 0.0
    for size in range(1, len(values) + 1):
        for chosen in itertools.combinations(values, size):
            sides = np.maximum(reference - np.max(chosen, axis=0), 0)
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 1], [1, 2], True),
        ([1, 2], [1, 2], False),
        ([1, 3], [2, 2], False),
        ([math.nan, 0], [1, 1], False),
        ([0, 0], [math.inf, 1], True),
    ],
)
def test_dominates_by_hand(a: list[float], b: list[float], expected: bool) -> None:
    """Nowhere worse and somewhere better; not-a-number dominates nothing."""
    assert dominates(a, b) is expected


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("n_levels", [3, 1000])
def test_front_agrees_with_definition(m: int, n_levels: int, rng: np.random.Generator) -> None:
    """Many ties and duplicates (3 levels) or hardly any (1,000), one to five numbers a point."""
    for n in (0, 1, 2, 40):
        values = rng.integers(0, n_levels, (n, m)).astype(float)
        assert front(values).tolist() == front_by_definition(values)


def test_front_across_blocks(rng: np.random.Generator) -> None:
    """Four numbers are compared in blocks of 256; 600 points need three."""
    values = rng.random((600, 4)) * np.array([1, 0.5, 0.25, 2])
    assert front(values).tolist() == front_by_definition(values)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("m", [2, 3, 4])
def test_points_that_are_not_finite_are_on_no_front(bad: float, m: int) -> None:
    """Nor do they dominate: the only finite point stays on the front."""
    values = np.zeros((3, m))
    values[0, 0], values[2, m - 1] = bad, bad
    assert front(values).tolist() == [False, True, False]


def test_duplicates_share_the_front() -> None:
    """Equal points do not dominate each other."""
    assert front([[1, 2], [1, 2], [2, 1], [2, 2]]).tolist() == [True, True, True, False]


def test_negative_zero_is_zero() -> None:
    """-0.0 and 0.0 are the same place."""
    assert front([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]]).tolist() == [True, True, False]


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("n_levels", [4, 1000])
def test_ranks_agree_with_peeling_by_definition(m: int, n_levels: int, rng: np.random.Generator) -> None:
    """Removing front after front by the definition gives the same ranks."""
    values = rng.integers(0, n_levels, (50, m)).astype(float)
    assert fronts(values).tolist() == fronts_by_definition(values)


def test_points_that_are_not_finite_rank_last() -> None:
    """One shared rank behind all finite points; alone they are the first."""
    assert fronts([[1, 1], [math.nan, 0], [2, 2], [0, math.inf]]).tolist() == [0, 2, 1, 2]
    assert fronts([[math.nan, 1]]).tolist() == [0]


def test_crowding_by_hand() -> None:
    """Ends infinite; the inner points: gaps (3-0)/4 + (9-1)/10 and (4-1)/4 + (5-0)/10."""
    values = [[0, 10], [1, 5], [3, 1], [4, 0]]
    expected = [math.inf, 3 / 4 + 9 / 10, 3 / 4 + 5 / 10, math.inf]
    assert crowding_distance(values) == pytest.approx(expected)


def test_crowding_does_not_depend_on_the_order(rng: np.random.Generator) -> None:
    """Shuffled points keep their distances."""
    values, order = rng.random((20, 3)), rng.permutation(20)
    assert crowding_distance(values[order]).tolist() == crowding_distance(values)[order].tolist()


def test_crowding_ignores_a_constant_number() -> None:
    """A number that is the same everywhere makes no point an end."""
    assert crowding_distance([[0, 7], [2, 7], [4, 7]]).tolist() == [math.inf, 1.0, math.inf]


def test_crowding_of_few_or_failed_points() -> None:
    """Up to two finite points are ends; a failed one counts for nothing."""
    assert crowding_distance([[1, 2], [math.nan, 0], [1, 2]]).tolist() == [math.inf, 0.0, math.inf]


@pytest.mark.parametrize(
    ("values", "reference", "expected"),
    [
        ([[1.0]], [4.0], 3.0),
        ([[1, 2], [2, 1]], [3, 3], 3.0),
        ([[1, 2], [2, 1], [2, 2], [1, 2]], [3, 3], 3.0),
        ([[0, 0, 0]], [2, 3, 4], 24.0),
        ([[0, 0, 1], [0, 1, 0], [1, 0, 0]], [2, 2, 2], 7.0),
        ([[0, 0, 0, 1], [1, 1, 1, 0]], [2, 2, 2, 2], 8.0 + 2.0 - 1.0),
        ([[3, 1], [1, 3], [math.nan, 0], [-math.inf, 0]], [3, 3], 0.0),
    ],
)
def test_hypervolume_by_hand(values: list[list[float]], reference: list[float], expected: float) -> None:
    """Unions of a few boxes; points on the reference, duplicates and failed points add nothing."""
    assert hypervolume(values, reference) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_hypervolume_agrees_with_inclusion_exclusion(m: int, rng: np.random.Generator) -> None:
    """Sum over all subsets with alternating signs, with and without ties."""
    reference = np.full(m, 1.0)
    for values in (rng.random((8, m)) * 1.2, rng.integers(0, 4, (8, m)) / 4):
        expected = hypervolume_by_inclusion_exclusion(values, reference)
        assert hypervolume(values, reference) == pytest.approx(expected, abs=1e-12)


def test_hypervolume_of_nothing_is_zero() -> None:
    """No points, no volume."""
    assert hypervolume(np.empty((0, 3)), [1, 1, 1]) == 0.0


@pytest.mark.slow
def test_hypervolume_agrees_with_monte_carlo(rng: np.random.Generator) -> None:
    """A share of a million random points in the unit cube, within five standard errors."""
    values = np.abs(rng.standard_normal((40, 4)))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    draws = rng.random((1_000_000, 4))
    covered = np.zeros(len(draws), dtype=bool)
    for row in values:
        covered |= (draws >= row).all(axis=1)
    share = float(covered.mean())
    assert abs(hypervolume(values, np.ones(4)) - share) < 5 * math.sqrt(share * (1 - share) / len(draws))


@pytest.mark.parametrize("function", [front, fronts, crowding_distance])
def test_wrong_shape_is_named(function: object) -> None:
    """A flat list is no (n, m) array."""
    with pytest.raises(InvalidValueError, match=r"shape \(3,\).*\(n, m\)"):
        function([1, 2, 3])  # type: ignore[operator]


@pytest.mark.parametrize("reference", [[1.0], [1.0, math.inf]])
def test_reference_must_fit(reference: list[float]) -> None:
    """As many finite numbers as the points have."""
    with pytest.raises(InvalidValueError, match="2 finite numbers"):
        hypervolume([[0, 0]], reference)
