"""What others see of a run."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archwright.core.errors import RunFolderError
from archwright.runs import files
from archwright.runs.run import Run, open_run
from archwright.runs.status import read_status


def begin(folder: Path) -> Run:
    return open_run(folder, {"recipe": "spos"}, seed=3, resume=True, threads=1)


def test_running_then_dead_then_finished(tmp_path: Path) -> None:
    """By the lock and by what the run says of itself; reading does not disturb."""
    with begin(tmp_path) as run:
        with run.phase("supernet", total=10) as phase:
            phase.advance(4, best=0.5, worst=math.inf)
            assert read_status(tmp_path)["state"] == "running"
            phase.checkpoint({}, 1)
        status = read_status(tmp_path)
        assert {
            name: status[name] for name in ("state", "recipe", "seed", "phase", "done", "total", "best", "pid")
        } == {
            "state": "running",
            "recipe": "spos",
            "seed": 3,
            "phase": "supernet",
            "done": 4,
            "total": 10,
            "best": 0.5,
            "pid": os.getpid(),
        }
        assert status["figures"] == {"best": 0.5, "worst": None}
    assert read_status(tmp_path)["state"] == "dead"
    with begin(tmp_path) as run:
        run.finish({})
    assert read_status(tmp_path)["state"] == "finished"
    assert read_status(tmp_path)["time_left_s"] == 0


def test_a_finished_run_stays_finished_when_looked_into(tmp_path: Path) -> None:
    """Resuming it and passing its done phases is no work."""
    with begin(tmp_path) as run:
        with run.phase("a") as phase:
            phase.finish()
        run.finish({})
    with begin(tmp_path) as run:
        with run.phase("a"):
            pass
        assert run.result == {}
    assert read_status(tmp_path)["state"] == "finished"


def test_elapsed_adds_up(tmp_path: Path) -> None:
    """Over resumptions, by a clock that never jumps."""
    with begin(tmp_path) as run, run.phase("a"):
        pass
    status = files.read_sealed_json(tmp_path / "status.json")
    files.write_sealed_json(tmp_path / "status.json", {**status, "elapsed_s": 1000.0})
    with begin(tmp_path) as run, run.phase("a"):
        pass
    assert 1000 <= read_status(tmp_path)["elapsed_s"] < 1010


def test_nothing_begun(tmp_path: Path) -> None:
    """An empty folder, and one whose first process was killed at once."""
    assert read_status(tmp_path)["state"] == "empty"
    assert not list(tmp_path.iterdir())
    (tmp_path / "run.lock").touch()
    assert read_status(tmp_path)["state"] == "empty"


def test_no_run(tmp_path: Path) -> None:
    """A missing folder, a file, and a folder of something else."""
    (tmp_path / "x").touch()
    for wrong in (tmp_path / "missing", tmp_path / "x"):
        with pytest.raises(RunFolderError, match="is no folder"):
            read_status(wrong)
    with pytest.raises(RunFolderError, match="holds no run"):
        read_status(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"state": "fin'])
def test_a_damaged_status_is_unknown_not_fatal(tmp_path: Path, text: str) -> None:
    """The lock still says whether it runs, and the next write replaces it."""
    begin(tmp_path).close()
    (tmp_path / "status.json").write_text(text)
    status = read_status(tmp_path)
    assert (status["state"], status["recipe"], status["phase"]) == ("dead", "spos", None)
    with begin(tmp_path) as run, run.phase("a"):
        assert read_status(tmp_path)["phase"] == "a"


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    """By name."""
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"run\.json"):
        read_status(tmp_path)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    """`archwright status` answers at once."""
    begin(tmp_path).close()
    reading = "from archwright.runs.status import read_status; read_status(sys.argv[1])"
    code = f"import sys; {reading}; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, env=environment).stdout == "False\n"


def test_a_finished_run_without_its_result_can_be_resumed(tmp_path: Path) -> None:
    """So it is called dead: gone or another, the result is not there."""
    with begin(tmp_path) as run:
        run.finish({"test": 1})
    (tmp_path / "result.json").write_text("{}")
    assert read_status(tmp_path)["state"] == "dead"
    (tmp_path / "result.json").unlink()
    assert read_status(tmp_path)["state"] == "dead"


def test_a_damaged_status_counts_as_nothing_known(tmp_path: Path) -> None:
    """A flipped digit is no other progress."""
    with begin(tmp_path) as run, run.phase("a", total=10) as phase:
        phase.advance(4)
    path = tmp_path / "status.json"
    path.write_text(path.read_text().replace('"total": 10', '"total": 90'))
    assert (read_status(tmp_path)["state"], read_status(tmp_path)["total"]) == ("dead", None)
