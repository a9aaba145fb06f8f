"""Candidates, trials and derived seeds."""

from __future__ import annotations

import hashlib

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Trial, derive_seed, of_largest_budget


def test_derived_seed_is_the_first_63_bits_of_a_hash() -> None:
    """Written out with hashlib, so that stored runs keep their seeds in every later version."""
    digest = hashlib.sha256(b"int:3\x1fstr:trial\x1fint:7").hexdigest()
    assert derive_seed(3, "trial", 7) == int(digest[:16], 16) // 2


def test_derived_seeds_do_not_collide() -> None:
    """100 runs of 100 trials: 10,000 different seeds, all of them below 2**63."""
    seeds = {derive_seed(run, "trial", number) for run in range(100) for number in range(100)}
    assert len(seeds) == 10_000
    assert max(seeds) < 2**63


def test_text_and_number_are_different_parts() -> None:
    """The string "1" and the number 1 lead to different streams, as do different splits of the same text."""
    assert len({derive_seed("1"), derive_seed(1), derive_seed("a", "bc"), derive_seed("ab", "c")}) == 4


def test_trial_shows_its_candidates_number_and_arch() -> None:
    """They are asked for on the trial itself."""
    trial = Trial(Candidate(4, Arch({"a": 1}), seed=0), status="failed", failure="out of memory")
    assert (trial.number, trial.arch, trial.is_complete) == (4, Arch({"a": 1}), False)


def test_the_largest_budget_counts_only_complete_trials() -> None:
    """A failed trial of more steps sets no measure; a trial without a budget is longer than any with one."""
    arch = Arch({"a": 1})
    short, long, failed, full = (
        Trial(Candidate(i, arch, 0, budget=budget), status)
        for i, (budget, status) in enumerate([(1, "complete"), (5, "complete"), (9, "failed"), (None, "complete")])
    )
    assert of_largest_budget([short, long, failed]) == [long]
    assert of_largest_budget([short, long, full]) == [full]
    assert of_largest_budget([failed]) == []
    assert of_largest_budget([]) == []
