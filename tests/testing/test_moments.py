"""Moments of a run come in order, are counted for each phase, and leave nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Trial
from archwright.runs import files
from archwright.runs.phase import Phase
from archwright.runs.run import open_run
from archwright.testing.moments import START, Moment, eager, watched


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_write_has_three_moments(tmp_path: Path) -> None:
    """Half of the file, all of it under its temporary name, and in its place."""
    seen = []

    def look(now: Moment) -> None:
        (name,) = (path.name for path in tmp_path.iterdir())
        seen.append((now, name == "x.json", (tmp_path / name).stat().st_size))

    with watched(look):
        files.write_bytes(tmp_path / "x.json", b"0123456789", durable=False)
    assert seen == [
        (Moment(START, "half of x.json"), False, 5),
        (Moment(START, "before x.json"), False, 10),
        (Moment(START, "after x.json"), True, 10),
    ]


def test_moments_are_counted_for_each_phase(tmp_path: Path) -> None:
    """What comes after a phase belongs to it until the next begins."""
    seen: list[Moment] = []
    with eager(), watched(seen.append), open_run(tmp_path, {}, seed=0, threads=1) as run:
        for name in ("a", "b"):
            with run.phase(name) as phase:
                for step in (1, 2):
                    phase.advance(step)
        run.finish({})
    steps = [moment for moment in seen if moment.event == "advance"]
    assert steps == [Moment("a", "advance", 1), Moment("a", "advance", 2), *steps[2:]]
    assert steps[2:] == [Moment("b", "advance", 1), Moment("b", "advance", 2)]
    assert Moment("b", "before result.json", 1) in seen
    assert Moment(START, "before run.json", 1) in seen


def test_a_transaction_that_ends_before_its_commit_is_undone(tmp_path: Path) -> None:
    """And what was committed stays: the two moments are on either side."""
    trial = Trial(Candidate(0, Arch({"op": "conv"}), 5))

    def die_at(event: str) -> None:
        def notice(now: Moment) -> None:
            if is_open[0] and now.event == event:
                raise Killed

        with watched(notice), open_run(tmp_path, {}, seed=0, threads=1, resume=True) as run:
            store = run.store()
            is_open[0] = True
            with pytest.raises(Killed):
                store.add([trial])

    for event, n_left in (("before commit", 0), ("after commit", 1)):
        is_open = [False]
        die_at(event)
        with open_run(tmp_path, {}, seed=0, threads=1, resume=True) as run:
            assert len(run.store()) == n_left


def test_eager_runs_save_on_every_occasion(tmp_path: Path) -> None:
    """Whatever interval was asked for."""
    with eager(), open_run(tmp_path, {}, seed=0, threads=1, checkpoint_every_s=1e9) as run, run.phase("a") as phase:
        assert phase.is_due
    with open_run(tmp_path, {}, seed=0, threads=1, checkpoint_every_s=1e9, resume=True) as run, run.phase("a") as phase:
        assert not phase.is_due


def test_patches_are_taken_back() -> None:
    """Also when the run ends by what was raised."""
    before = os.replace, Path.write_bytes, Phase.advance, Phase.__enter__
    with pytest.raises(Killed), eager(), watched(lambda now: None):
        raise Killed
    assert (os.replace, Path.write_bytes, Phase.advance, Phase.__enter__) == before
