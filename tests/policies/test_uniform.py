"""Uniform distributions, and SPOS's flattened one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare
from torch import nn

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.base import Cost
from archwright.costs.counted import Macs
from archwright.policies import Uniform, UniformInCostBins, check_edges, quantile_edges
from archwright.spaces import Space, SposSpace
from archwright.testing import BranchSpace, PolicyContract

EDGES = [m * 1e6 for m in range(290, 361, 10)]


class RowSum(Cost):
    """The sum of a row's indices: 0 to 4 in the branch space."""

    name = "row-sum"

    def cost_module(self, module: nn.Module, input_shape: Sequence[int]) -> float:
        raise AssertionError("not used here")

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return rows.sum(axis=1).astype(np.float64)


class TestUniform(PolicyContract):
    def make(self, space: Space) -> Uniform:
        return Uniform(space)


class TestUniformInCostBins(PolicyContract):
    def make(self, space: Space) -> UniformInCostBins:
        return UniformInCostBins(space, RowSum(), [-9, 2, 20])


@pytest.fixture(scope="module")
def spos() -> SposSpace:
    return SposSpace()


def in_bins(space: SposSpace, rows: Rows) -> NDArray[np.int64]:
    """How many rows fall into each of the seven bins of 10 M."""
    return np.histogram(Macs().cost_rows(space, rows), bins=EDGES)[0]


def test_constrained_sampling_is_flat_over_the_bins(spos: SposSpace) -> None:
    """3,000 draws: chi-square over seven bins of 10 M from 290 to 360 M does not reject; hardly any lies outside."""
    rows = UniformInCostBins(spos, Macs(), EDGES).draw(3_000, np.random.default_rng(0))
    counts = in_bins(spos, rows)
    assert counts.sum() >= 2_980
    assert chisquare(counts).pvalue > 0.01


def test_uniform_sampling_is_not_flat_over_the_bins(spos: SposSpace) -> None:
    """The shares of the fact sheet, which chi-square rejects as flat."""
    counts = in_bins(spos, Uniform(spos).draw(20_000, np.random.default_rng(0)))
    assert counts / 20_000 == pytest.approx([0.011, 0.064, 0.194, 0.322, 0.273, 0.112, 0.022], abs=0.01)
    assert chisquare(counts).pvalue < 1e-100


def test_uniform_is_uniform_over_archs() -> None:
    """Twelve archs, 12,000 draws."""
    counts = Counter(map(tuple, Uniform(BranchSpace()).draw(12_000, np.random.default_rng(0)).tolist()))
    assert len(counts) == 12
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_within_a_bin_archs_are_uniform() -> None:
    """Row sums 0..4 occur 1, 3, 4, 3, 1 times among 12 archs; in two bins (0-1, 2-4) each arch has 1/8 or 1/16."""
    policy = UniformInCostBins(BranchSpace(), RowSum(), [0, 2, 5])
    counts = Counter(map(tuple, policy.draw(16_000, np.random.default_rng(0)).tolist()))
    observed = [counts[tuple(row)] for row in BranchSpace().decisions.enumerate_rows().tolist()]
    expected = [2_000 if sum(row) < 2 else 1_000 for row in BranchSpace().decisions.enumerate_rows().tolist()]
    assert sum(expected) == 16_000
    assert chisquare(observed, expected).pvalue > 0.01


def test_an_empty_bin_falls_back_to_any_arch() -> None:
    """Nothing costs 10 to 20: half of the draws are unconstrained, so sums of 2 come in 1/2 x 4/12 of them."""
    policy = UniformInCostBins(BranchSpace(), RowSum(), [2, 10, 20], max_tries=5)
    sums = policy.draw(6_000, np.random.default_rng(0)).sum(axis=1)
    # bin [2, 10) holds 8 of 12 archs and is hit within 5 tries but for (1/3)^5; bin [10, 20) never is
    share_low = 0.5 * 4 / 12 + 0.5 * (1 / 3) ** 5 * 4 / 12
    assert chisquare([(sums < 2).sum(), (sums >= 2).sum()], [6_000 * share_low, 6_000 * (1 - share_low)]).pvalue > 0.01


def test_a_bin_holds_its_lower_edge_only() -> None:
    """[1, 2) gives sums of exactly 1."""
    rows = UniformInCostBins(BranchSpace(), RowSum(), [1, 2]).draw(200, np.random.default_rng(0))
    assert set(rows.sum(axis=1).tolist()) == {1}


def test_same_seed_same_draws() -> None:
    """Nothing but the generator decides."""
    policy = UniformInCostBins(BranchSpace(), RowSum(), [0, 2, 5])
    one, other = (policy.draw(50, np.random.default_rng(3)) for _ in range(2))
    assert (one == other).all()


def test_edges_between_quantiles() -> None:
    """Seven equal bins between the 1 % and 99 % quantiles of 10,000 uniform archs' costs."""
    space = SposSpace(input_shape=(1, 16, 16), n_classes=10)
    edges = quantile_edges(space, Macs(), np.random.default_rng(5), n_bins=7)
    macs = Macs().cost_rows(space, space.decisions.sample(10_000, np.random.default_rng(5)))
    assert len(edges) == 8
    assert (edges[0], edges[-1]) == pytest.approx((np.sort(macs)[100], np.sort(macs)[9_899]), rel=1e-3)
    assert np.diff(edges) == pytest.approx([(edges[-1] - edges[0]) / 7] * 7)


def test_a_cost_that_hardly_varies_has_one_bin() -> None:
    """Where both quantiles coincide, the bin holds just that value."""
    edges = quantile_edges(BranchSpace(), RowSum(), np.random.default_rng(0), n_bins=7, low=0.45, high=0.55)
    assert len(edges) == 2
    assert edges[0] == 2.0 < edges[1] < 2.001


def test_edges_near_a_limit() -> None:
    """Of sums 0 to 4, those from 2 to 3 count: one bin from the one to the other."""
    edges = quantile_edges(
        BranchSpace(), RowSum(), np.random.default_rng(0), n_bins=1, low=0.0, high=1.0, within=(1.5, 3.0)
    )
    assert edges == [2.0, 3.0]


def test_where_hardly_any_arch_is_near_a_limit_all_count() -> None:
    """No sum lies above 4."""
    drawn = [
        quantile_edges(BranchSpace(), RowSum(), np.random.default_rng(0), n_bins=3, within=within)
        for within in (None, (4.5, 9.0))
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("edges", [[], [1.0], [1.0, 1.0], [2.0, 1.0], [0.0, float("nan")]])
def test_edges_ascend(edges: list[float]) -> None:
    """Fewer than two, equal, descending and undefined ones are refused."""
    with pytest.raises(InvalidValueError, match="at least two, ascending"):
        UniformInCostBins(BranchSpace(), RowSum(), edges)


def test_equal_archs_are_costed_once() -> None:
    """A thousand draws from twelve archs ask for twelve figures at most, and every draw has its own."""
    asked = []

    class Watched(RowSum):
        def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
            asked.append(len(rows))
            return super().cost_rows(space, rows)

    edges = quantile_edges(BranchSpace(), Watched(), np.random.default_rng(0), n_bins=4, n_drawn=1000)
    assert asked == [12]
    assert edges == quantile_edges(BranchSpace(), RowSum(), np.random.default_rng(0), n_bins=4, n_drawn=1000)
    assert (edges[0], edges[-1]) == (0, 4)


@pytest.mark.parametrize("edges", [[5.0, 6.0], [-1.0, 0.0], [0.5, 0.6, 0.9]])
def test_bins_without_an_arch_are_refused(edges: list[float]) -> None:
    """Row sums are 0 to 4; an upper edge belongs to no bin."""
    with pytest.raises(InvalidValueError, match=r"bin_edges from .* hold no .*: its row-sum lie between 0 and 4; give"):
        check_edges(BranchSpace(), RowSum(), edges, setting="bin_edges")


def test_one_arch_in_the_bins_is_enough() -> None:
    """A lower edge belongs to its bin."""
    check_edges(BranchSpace(), RowSum(), [4.0, 9.0], setting="bin_edges")
