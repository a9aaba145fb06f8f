"""Lengths of a run's parts under a plan of time."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from archwright.core.errors import RunFolderError
from archwright.runs.lengths import Lengths, Part, Planned, read_plan
from archwright.runs.run import Run, open_run

PARTS = [
    Part("supernet", 100, 0.5, 20, ("supernet",)),
    Part("search", 10, 1.0, 4, ("search", "baseline")),
    Part("final training", 40, 1.0, 20, ("retrain",)),
]
"""50, 10 and 40 s at their usual lengths: 100 s in all."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return open_run(tmp_path / "run", {}, seed=0, threads=1)


def planned(run: Run, time_s: float, chosen: dict[str, int] | None = None) -> Planned:
    return Planned(run, time_s, lambda: (PARTS, 10.0), chosen=chosen)


def spend(run: Run, phase: str, seconds: float) -> None:
    run._ledger.add(phase, seconds)


def test_settings_are_taken_without_a_plan() -> None:
    """Whatever is measured."""
    assert Lengths().length("supernet", 100, lambda: 5.0) == 100


def test_time_is_shared_in_proportion(run: Run) -> None:
    """210 s with 10 s for the rest: twice the usual 100 s, so twice the usual lengths, when all go as estimated."""
    plan = planned(run, 210.0)
    assert plan.length("supernet", 100) == 200
    spend(run, "supernet", 100.0)
    assert plan.length("search", 10) == 20
    spend(run, "search", 10.0)
    spend(run, "baseline", 10.0)
    assert plan.length("final training", 40, lambda: 1.0) == 80


def test_a_search_that_only_scores_grows_as_the_root(run: Run) -> None:
    """50 and 40 s of training and 10 s of scoring fill 390 s: 90 * 4.11 + 10 * 2.03 s, not 3.9 times each."""
    parts = [replace(part, by_root=part.name == "search") for part in PARTS]
    plan = Planned(run, 400.0, lambda: (parts, 10.0))
    growth = ((-10 + math.sqrt(10**2 + 4 * 90 * 390)) / 180) ** 2
    assert 90 * growth + 10 * math.sqrt(growth) == pytest.approx(390)
    assert plan.length("supernet", 100) == int(100 * growth) == 410
    spend(run, "supernet", 0.5 * 410)
    assert plan.length("search", 10) == 20


def test_where_time_is_short_all_parts_shrink_alike(run: Run) -> None:
    """40 s for what usually takes 100."""
    parts = [replace(part, by_root=part.name == "search") for part in PARTS]
    assert Planned(run, 50.0, lambda: (parts, 10.0)).length("supernet", 100) == 40


def test_what_took_longer_shortens_what_follows(run: Run) -> None:
    """The supernet takes 150 of the 200 s, 1.5 times its estimate; 50 s are left, for 75 s of search and training."""
    plan = planned(run, 210.0)
    plan.length("supernet", 100)
    spend(run, "supernet", 150.0)
    assert plan.length("search", 10) == 6  # 10 * 50 / (1.5 * (10 + 40)) = 6.67
    spend(run, "search", 10.0)
    assert plan.length("final training", 40, lambda: 2.0) == 20  # 40 s left, 2 s a step


def test_time_before_a_kill_counts(run: Run) -> None:
    """Of the start too: 60 of 210 s are gone before the first part."""
    spend(run, "start", 60.0)
    assert planned(run, 210.0).length("supernet", 100) == 140


def test_nothing_is_shorter_than_its_least(run: Run) -> None:
    """Where no time is left."""
    spend(run, "start", 500.0)
    plan = planned(run, 210.0)
    assert [plan.length(part.name, part.usual) for part in PARTS] == [20, 4, 20]


def test_a_slow_part_leaves_a_quarter_to_what_follows(run: Run) -> None:
    """The supernet, at twice its usual length, takes all of the time: 400 steps do not become 20, but 400 * 2 / 4."""
    parts = [PARTS[0], replace(PARTS[1], by_root=True), replace(PARTS[2], usual=400, unit_s=0.1)]
    plan = Planned(run, 210.0, lambda: (parts, 10.0))
    assert plan.length("supernet", 100) > 200
    spend(run, "supernet", 400.0)
    assert plan.length("search", 10) == 4
    assert plan.length("final training", 400) == int(0.25 * 400 * plan.chosen["supernet"] / 100) > 200


def test_length_is_stored_before_it_is_used(run: Run, tmp_path: Path) -> None:
    """A process that goes on after a kill has the same one, though more time has gone by."""
    before = planned(run, 210.0).length("supernet", 100)
    spend(run, "start", 100.0)
    assert planned(run, 210.0).length("supernet", 100) == before
    stored = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert stored == {"format": 1, "time_s": 210.0, "lengths": {"supernet": 200}}


def test_settled_lengths_measure_nothing(run: Run) -> None:
    """Of a run that goes on behind its last choice, and of one that repeats another; what is open is as usual."""

    def measure() -> tuple[list[Part], float]:
        raise AssertionError("the machine was measured")

    assert Planned(run, 210.0, measure, chosen={"supernet": 7}).length("supernet", 100) == 7
    assert Planned(run, None, measure).length("search", 10) == 10


def test_plan_of_another_run_is_repeated(run: Run, tmp_path: Path) -> None:
    """Its lengths hold whatever the time."""
    plan = planned(run, 0.0, chosen={"supernet": 7, "search": 5, "final training": 3})
    assert [plan.length(part.name, part.usual) for part in PARTS] == [7, 5, 3]
    assert read_plan(tmp_path / "run" / "plan.json") == {"supernet": 7, "search": 5, "final training": 3}


@pytest.mark.parametrize(
    "document", ["[]", '{"format": 2, "lengths": {}}', '{"format": 1, "lengths": {"a": 0}}', '{"format": 1}']
)
def test_other_files_are_no_plans(tmp_path: Path, document: str) -> None:
    """One line that says what to give."""
    (tmp_path / "plan.json").write_text(document)
    with pytest.raises(RunFolderError, match=r"plan\.json is no plan of a run"):
        read_plan(tmp_path / "plan.json")
