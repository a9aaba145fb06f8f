"""Drawing feasible archs, and what all strategies share."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.trial import derive_seed
from archwright.strategies import Random, draw_feasible
from archwright.testing import BranchSpace, conditional_decisions

DECISIONS = conditional_decisions()


def test_draws_are_feasible_and_different() -> None:
    """Ten archs whose first operation is a convolution."""
    rows = draw_feasible(DECISIONS, lambda rows: rows[:, 0] == 1, 10, np.random.default_rng(0))
    assert len(rows) == 10
    assert (rows[:, 0] == 1).all()
    assert len({row.tobytes() for row in rows}) == 10


def test_excluded_archs_do_not_come() -> None:
    """All but one excluded: that one comes, and is excluded from then on."""
    rows = DECISIONS.enumerate_rows()
    exclude = {row.tobytes() for row in rows[:-1]}
    found = draw_feasible(
        DECISIONS, lambda rows: np.ones(len(rows), bool), 5, np.random.default_rng(0), exclude=exclude
    )
    assert found.tolist() == [rows[-1].tolist()]
    assert rows[-1].tobytes() in exclude


def test_a_small_space_is_drawn_to_its_last_arch_quickly() -> None:
    """All 49 in one call, after far fewer draws than the limit of a million: the feasibility test sees few rows."""
    seen = []
    rows = draw_feasible(
        DECISIONS, lambda rows: seen.append(len(rows)) or np.ones(len(rows), bool), 60, np.random.default_rng(0)
    )
    assert len({row.tobytes() for row in rows}) == len(rows) == 49
    assert sum(seen) < 1_000


@pytest.mark.parametrize("position", [0, -1])
def test_each_draw_is_uniform_over_what_is_left(position: int) -> None:
    """Seven feasible archs drawn to exhaustion 3,500 times: first and last are any of them equally often."""
    allowed = {row.tobytes() for row in DECISIONS.enumerate_rows()[::7]}

    def feasible(rows: np.ndarray) -> np.ndarray:
        return np.array([row.tobytes() in allowed for row in rows], dtype=bool)

    counts = Counter(
        draw_feasible(DECISIONS, feasible, 8, np.random.default_rng(seed))[position].tobytes() for seed in range(700)
    )
    assert len(counts) == 7
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_an_impossible_limit_is_an_error() -> None:
    """Not an endless loop."""
    with pytest.raises(InfeasibleError, match="none of 49 random architectures"):
        draw_feasible(DECISIONS, lambda rows: np.zeros(len(rows), bool), 1, np.random.default_rng(0))


def test_nothing_wanted_is_nothing_drawn() -> None:
    """Even under an impossible limit."""
    rows = draw_feasible(DECISIONS, lambda rows: np.zeros(len(rows), bool), 0, np.random.default_rng(0))
    assert rows.shape == (0, 4)


def test_candidates_are_numbered_and_seeded() -> None:
    """In ask order, each with the seed of its number."""
    candidates = Random(BranchSpace(), seed=3).ask(4)
    assert [candidate.number for candidate in candidates] == [0, 1, 2, 3]
    assert [candidate.seed for candidate in candidates] == [derive_seed(3, "trial", n) for n in range(4)]


def test_a_search_needs_a_trial() -> None:
    """None at all is refused."""
    with pytest.raises(InvalidValueError, match="a search of 0 trials"):
        Random(BranchSpace(), n_trials=0)
