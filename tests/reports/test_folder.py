"""A run's folder is read without touching it, finished or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archwright.core.arch import Arch
from archwright.core.errors import RunFolderError
from archwright.core.trial import Candidate, Trial
from archwright.reports.folder import plain_trials, run_document
from archwright.runs.run import open_run
from archwright.testing import NumberSpace


def make_run(folder: Path, *, finished: bool = True, seed: int = 0, **result: Any) -> Path:
    """A run of two trials, one of them failed, and one training."""
    with open_run(folder, {"data": "digits", "limits": [["macs", 2e6]]}, seed=seed, recipe="spos", threads=1) as run:
        done = Trial(Candidate(0, Arch({"a": 1}), 0), metrics={"top1_accuracy": 0.9 + seed / 100}, costs={"macs": 1e6})
        failed = Trial(Candidate(1, Arch({"a": 2}), 1), "failed", costs={"macs": 1e6}, failure="RunError: no")
        run.store("search").add([done, failed])
        with run.phase("supernet", total=2) as phase:
            phase.finish(state={"log": {"curve": [[1, 2.0], [2, 1.0]]}})
        with run.phase("retrain-winner", total=2) as phase:
            phase.checkpoint(state={"losses": {"curve": [[1, 3.0]]}})
        if finished:
            record = {"recipe": "spos", "dataset": "digits", "metric": "top1_accuracy", "test": 0.9, "seed": seed}
            run.finish({**record, "arch": {"a": 1}, **result})
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and "sqlite" not in path.name}


def test_finished_run(tmp_path: Path) -> None:
    """Result, trials with their messages, curves of trainings done or begun, in the order in which they began."""
    document = run_document(make_run(tmp_path / "run"))
    assert document["result"]["test"] == 0.9
    assert document["run"]["recipe"] == "spos"
    assert document["status"]["state"] == "finished"
    assert [trial["failure"] for trial in document["trials"]["search"]] == ["", "RunError: no"]
    assert document["trials"]["baseline"] == []
    assert list(document["training"].items()) == [("supernet", [[1, 2.0], [2, 1.0]]), ("retrain-winner", [[1, 3.0]])]
    assert document["architecture"] == [{"name": "a", "value": 1}]


def test_dead_run(tmp_path: Path) -> None:
    """Trials and curves are there, a result is not, and the state says so; the ledger is the run's own."""
    document = run_document(make_run(tmp_path / "run", finished=False))
    assert document["status"]["state"] == "dead"
    assert document["result"] == {}
    assert len(document["trials"]["search"]) == 2
    assert list(document["ledger"]) == ["supernet", "retrain-winner"]


def test_a_result_that_is_not_written_yet_counts(tmp_path: Path) -> None:
    """The page at the end of a run is made before the run is marked finished."""
    document = run_document(make_run(tmp_path / "run", finished=False), result={"test": 0.5})
    assert document["status"] == {"state": "finished"}
    assert document["result"] == {"test": 0.5}


def test_nothing_is_changed(tmp_path: Path) -> None:
    """Reading leaves every file as it was, and makes none."""
    folder = make_run(tmp_path / "run")
    before = files_of(folder)
    run_document(folder)
    assert files_of(folder) == before


def test_extras_ranking_and_latencies(tmp_path: Path) -> None:
    """What other commands and phases leave in the folder."""
    folder = make_run(tmp_path / "run")
    (folder / "report.json").write_text(json.dumps({"layers": [{"layer": "stem"}], "training": {"own": [[1, 1]]}}))
    (folder / "rank.json").write_text('{"kendall": 0.5}')
    (folder / "latency_ms.json").write_text('{"checked": []}')
    document = run_document(folder)
    assert document["layers"] == [{"layer": "stem"}]
    assert list(document["training"]) == ["own", "supernet", "retrain-winner"]
    assert document["rank"] == {"kendall": 0.5}
    assert document["latencies"] == {"latency_ms": {"checked": []}}


def test_run_without_trials_gets_no_store(tmp_path: Path) -> None:
    """`train` has none; looking for them must not make a database."""
    with open_run(tmp_path / "run", {}, seed=0, recipe="train", threads=1):
        pass
    assert run_document(tmp_path / "run")["trials"] == {"search": [], "baseline": []}
    assert not (tmp_path / "run" / "trials.sqlite").exists()


def test_no_run_is_refused(tmp_path: Path) -> None:
    """No folder, an empty one, a foreign one, a damaged file: one line each."""
    with pytest.raises(RunFolderError, match="is no folder"):
        run_document(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="holds no run yet"):
        run_document(tmp_path / "empty")
    (tmp_path / "empty" / "thesis.tex").write_text("")
    with pytest.raises(RunFolderError, match=r"no run\.json"):
        run_document(tmp_path / "empty")
    folder = make_run(tmp_path / "run")
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace("0.9", "1.0"))
    with pytest.raises(RunFolderError, match=r"result\.json"):
        run_document(folder)
    (folder / "result.json").write_text(text)
    (folder / "rank.json").write_text("[]")
    with pytest.raises(RunFolderError, match="holds no JSON object"):
        run_document(folder)


def test_short_trainings_enter_no_chart() -> None:
    """Of two trials of three steps and one of one step, the scores of the first two are shown."""
    archs = NumberSpace().sample(3, np.random.default_rng(0))
    trials = [
        Trial(Candidate(i, arch, 0, budget=budget), metrics={"top1_accuracy": 0.5})
        for i, (arch, budget) in enumerate(zip(archs, (3, 1, 3), strict=True))
    ]
    assert [trial["metrics"] for trial in plain_trials(trials)] == [{"top1_accuracy": 0.5}, {}, {"top1_accuracy": 0.5}]
