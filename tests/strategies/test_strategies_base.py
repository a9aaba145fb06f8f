"""Drawing feasible archs, and what all strategies share."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import derive_seed
from archwright.strategies import Random, RegularizedEvolution, RegularizedEvolutionConfig, draw_feasible
from archwright.strategies.base import Outlook
from archwright.strategies.halving import Asha, HalvingConfig
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


def test_a_search_begins_with_what_it_is_given() -> None:
    """In that order, without those over the limits and without repeats; then it draws at random."""
    space = BranchSpace()
    rows = space.decisions.enumerate_rows()
    strategy = Random(space, n_trials=6, seed=0)
    strategy.bind(Objective((Goal("score"),)), lambda asked: asked[:, 0] == 0)
    assert strategy.is_uniform
    chosen = [row for row in rows if row[0] == 0][:2]
    strategy.begin_with(np.stack([chosen[1], *rows[rows[:, 0] != 0][:1], chosen[1], chosen[0]]))
    assert not strategy.is_uniform
    asked = [space.row(candidate.arch).tolist() for candidate in strategy.ask(6)]
    assert asked[:2] == [chosen[1].tolist(), chosen[0].tolist()]
    assert len({tuple(row) for row in asked}) == len(asked) == 4  # all that there are


def test_what_a_search_will_be_made_of() -> None:
    """One in three is promoted; children come behind a population; others are all alike."""
    space = BranchSpace()
    asha = Asha(space, HalvingConfig(budgets=(1, 3, 9), eta=3))
    assert asha.outlook(13) == [Outlook(9, 1), Outlook(3, 3), Outlook(1, 9)]
    evolution = RegularizedEvolution(space, RegularizedEvolutionConfig(population=5, sample=2, cycles=20))
    assert evolution.outlook(20) == [Outlook(5), Outlook(15, is_child=True)]
    assert Random(space, n_trials=4).outlook(4) == [Outlook(4)]
