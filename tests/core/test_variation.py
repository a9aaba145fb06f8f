"""Mutation and crossover: closed under the space, with the odds they promise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.errors import InvalidValueError
from archwright.core.variation import crossover, mutate, resample
from archwright.testing import conditional_decisions

SPACE = conditional_decisions()
FLAT = DecisionSpace([Decision(f"d{i}", (0, 1, 2, 3)) for i in range(10)])
N = 100_000


@pytest.mark.parametrize("vary", [mutate, resample])
@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_children_stay_in_a_conditional_space(vary: Callable[..., Rows], probability: float) -> None:
    """100,000 children, all of them members."""
    rng = np.random.default_rng(0)
    assert SPACE.contains(vary(SPACE, SPACE.sample(N, rng), rng, probability=probability)).all()


def test_crossovers_stay_in_a_conditional_space() -> None:
    """100,000 children of unlike parents, all of them members."""
    rng = np.random.default_rng(0)
    assert SPACE.contains(crossover(SPACE, SPACE.sample(N, rng), SPACE.sample(N, rng), rng)).all()


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_every_mutant_differs(probability: float) -> None:
    """One change is forced where none was drawn."""
    rng = np.random.default_rng(0)
    rows = SPACE.sample(N, rng)
    assert (mutate(SPACE, rows, rng, probability=probability) != rows).any(axis=1).all()


def test_parents_stay_as_they_are() -> None:
    """Variation writes into new arrays."""
    rng = np.random.default_rng(0)
    rows = SPACE.sample(100, rng)
    before = rows.copy()
    mutate(SPACE, rows, rng, probability=0.5)
    crossover(SPACE, rows, rows[::-1], rng)
    assert (rows == before).all()


def test_a_decision_mutates_with_its_probability() -> None:
    """Ten decisions at 0.3: each changes in 30 % of the rows, but for the 0.7^10 / 10 added by force."""
    rng = np.random.default_rng(0)
    rows = FLAT.sample(N, rng)
    changed = int((mutate(FLAT, rows, rng, probability=0.3)[:, 0] != rows[:, 0]).sum())
    assert binomtest(changed, N, 0.3 + 0.7**10 / 10).pvalue > 0.01


def test_a_mutation_takes_any_other_value_equally_likely() -> None:
    """From value 1 to 0, 2 and 3 in equal shares, never to 1."""
    rows = np.ones((N, 10), dtype=np.int16)
    children = mutate(FLAT, rows, np.random.default_rng(0), probability=1.0)
    counts = np.bincount(children.ravel(), minlength=4)
    assert counts[1] == 0
    assert chisquare(counts[[0, 2, 3]]).pvalue > 0.01


def test_resampling_may_keep_a_value() -> None:
    """At probability 0.4 and four values, a decision changes in 0.4 x 3/4 of the rows."""
    rng = np.random.default_rng(0)
    rows = FLAT.sample(N, rng)
    changed = int((resample(FLAT, rows, rng, probability=0.4)[:, 3] != rows[:, 3]).sum())
    assert binomtest(changed, N, 0.3).pvalue > 0.01


def test_a_newly_active_decision_takes_any_value() -> None:
    """Skips that become convolutions get each of the three kernels equally often."""
    rows = np.tile(np.array([0, -1, 0, -1], dtype=np.int16), (N, 1))
    children = mutate(SPACE, rows, np.random.default_rng(0), probability=1.0)
    assert chisquare(np.bincount(children[:, 1], minlength=3)).pvalue > 0.01


def test_a_space_of_single_values_does_not_mutate() -> None:
    """There is nothing else to choose."""
    space = DecisionSpace([Decision("a", (1,)), Decision("b", (2,))])
    rows = space.enumerate_rows()
    assert (mutate(space, rows, np.random.default_rng(0), probability=1.0) == rows).all()


def test_a_child_takes_each_decision_from_either_parent_equally_often() -> None:
    """Parents of zeros and ones: ten fair coins a row."""
    zeros = np.zeros((N, 10), dtype=np.int16)
    children = crossover(FLAT, zeros, zeros + 1, np.random.default_rng(0))
    assert binomtest(int(children.sum()), children.size, 0.5).pvalue > 0.01
    assert set(np.unique(children)) == {0, 1}


def test_a_decision_one_parent_lacks_comes_from_the_other() -> None:
    """A skip crossed with a 7-kernel convolution: every child that convolves has the 7."""
    skip = np.tile(np.array([0, -1, 0, -1], dtype=np.int16), (1000, 1))
    conv = np.tile(np.array([1, 2, 1, 2], dtype=np.int16), (1000, 1))
    for mothers, fathers in ((skip, conv), (conv, skip)):
        children = crossover(SPACE, mothers, fathers, np.random.default_rng(0))
        assert set(np.unique(children[:, 0])) == {0, 1}
        assert set(children[children[:, 0] == 1, 1]) == {2}


def test_equal_parents_have_equal_children() -> None:
    """Nothing new comes from crossing an arch with itself."""
    rng = np.random.default_rng(0)
    rows = SPACE.sample(1000, rng)
    assert (crossover(SPACE, rows, rows, rng) == rows).all()


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_lies_between_0_and_1(probability: float) -> None:
    """Others are refused with the value received."""
    for vary in (mutate, resample):
        with pytest.raises(InvalidValueError, match=str(probability)):
            vary(SPACE, SPACE.enumerate_rows(), np.random.default_rng(0), probability=probability)
