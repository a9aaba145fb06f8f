"""Phases: checkpoint, finish, resume, times, how far."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path

import pytest
import torch

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.runs.progress import PlainProgress
from archwright.runs.run import Run, open_run


def begin(folder: Path | None, *, every_s: float = 20.0, stream: io.StringIO | None = None) -> Run:
    shown = None if stream is None else PlainProgress(stream)
    return open_run(folder, {}, seed=0, resume=True, threads=1, progress=shown, checkpoint_every_s=every_s)


@pytest.fixture(params=["memory", "folder"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return None if request.param == "memory" else tmp_path


def test_a_new_phase(folder: Path | None) -> None:
    """Nothing to restore, not done, no result."""
    with begin(folder) as run, run.phase("a") as phase:
        assert (phase.name, phase.is_done, phase.result, phase.restore()) == ("a", False, None, None)


def test_finish(folder: Path | None) -> None:
    """The state is the result, tensors and state can be restored, and the same object comes back by name."""
    with begin(folder) as run:
        with run.phase("a") as phase:
            phase.finish({"w": torch.tensor([1.0, 2.0])}, {"shape": (1, 2), "best": -math.inf})
        assert run.phase("a") is phase
        assert phase.is_done
        assert phase.result == {"shape": [1, 2], "best": -math.inf}
        restored = phase.restore()
        assert restored is not None
        assert restored[0]["w"].tolist() == [1, 2]
        assert restored[1] == phase.result


def test_restored_values_are_copies(folder: Path | None) -> None:
    """Training on from them does not change the checkpoint."""
    with begin(folder) as run, run.phase("a") as phase:
        weight = torch.zeros(2)
        phase.checkpoint({"w": weight}, {"steps": [1]})
        weight += 1
        first = phase.restore()
        assert first is not None
        first[0]["w"].add_(5)
        first[1]["steps"].append(2)
        again = phase.restore()
        assert again is not None
        assert again[0]["w"].tolist() == [0, 0]
        assert again[1] == {"steps": [1]}


def test_a_phase_is_finished_once(folder: Path | None) -> None:
    """Its outcome cannot be replaced."""
    with begin(folder) as run, run.phase("a") as phase:
        phase.finish()
        with pytest.raises(RunError, match="phase 'a' cannot be saved: it is done"):
            phase.checkpoint({}, 1)
        assert phase.result is None


def test_resumed_at_the_checkpoint_then_finished(tmp_path: Path) -> None:
    """Another process finds the partial state, finishes, and a third finds the result."""
    with begin(tmp_path) as run, run.phase("a") as phase:
        phase.checkpoint({"w": torch.ones(3)}, {"step": 4})
    with begin(tmp_path) as run, run.phase("a") as phase:
        assert not phase.is_done
        assert phase.result is None
        restored = phase.restore()
        assert restored is not None
        assert restored[0]["w"].tolist() == [1, 1, 1]
        assert restored[1] == {"step": 4}
        phase.finish(state={"step": 9})
    with begin(tmp_path) as run:
        assert run.phase("a").is_done
        assert run.phase("a").result == {"step": 9}
        assert run.phase("a").restore() == ({}, {"step": 9})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "folder", "other"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    """Never a wrong state; `other` is the checkpoint of another phase under this one's name."""
    with begin(tmp_path) as run, run.phase("a") as phase:
        phase.checkpoint({"w": torch.ones(30)}, {"step": 4})
    path = tmp_path / "checkpoints" / "a.safetensors"
    good = path.read_bytes()
    name = "b" if damage == "other" else "a"
    path = path.rename(path.with_name(f"{name}.safetensors"))
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]
        path.write_bytes({"empty": b"", "truncated": good[:-7], "flipped": flipped, "other": good}[damage])
    with begin(tmp_path) as run, pytest.raises(RunFolderError, match=rf"{name}\.safetensors"):
        run.phase(name)


def test_a_state_that_is_no_json_leaves_the_former_checkpoint(folder: Path | None) -> None:
    """The error names the phase."""
    with begin(folder) as run, run.phase("a") as phase:
        phase.checkpoint({}, 1)
        with pytest.raises(InvalidValueError, match="the state of phase 'a'"):
            phase.checkpoint({}, {"x": object()})
        assert phase.restore() == ({}, 1)


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a b", "a\n", "x" * 101])
def test_names_that_are_no_file_names(name: str) -> None:
    """A phase names its checkpoint."""
    with begin(None) as run, pytest.raises(InvalidValueError, match="cannot name a phase"):
        run.phase(name)


def test_is_due(tmp_path: Path) -> None:
    """After the interval since entering or saving; at once for 0; never in memory."""
    with begin(tmp_path / "a", every_s=0.1) as run, run.phase("a") as phase:
        assert not phase.is_due
        time.sleep(0.11)
        assert phase.is_due
        phase.checkpoint()
        assert not phase.is_due
    with begin(tmp_path / "b", every_s=0) as run, run.phase("a") as phase:
        assert phase.is_due
    with begin(None, every_s=0) as run, run.phase("a") as phase:
        assert not phase.is_due


def test_times_add_up_over_resumptions_and_outlive_a_skipped_phase(tmp_path: Path) -> None:
    """Two visits of 0.1 s; a third process that finds the phase done keeps the entry as it is."""
    for is_last in (False, True):
        with begin(tmp_path) as run, run.phase("a") as phase:
            time.sleep(0.1)
            if is_last:
                phase.finish()
    with begin(tmp_path) as run:
        before = run.ledger
        with run.phase("a") as phase:
            assert phase.is_done
            time.sleep(0.05)
        assert run.ledger == before
        assert 0.2 <= before["a"]["wall_s"] < 2


def test_the_ledger_is_rebuilt_from_checkpoints(tmp_path: Path) -> None:
    """Where ledger.json was lost."""
    with begin(tmp_path) as run, run.phase("a") as phase:
        time.sleep(0.05)
        phase.finish()
    (tmp_path / "ledger.json").unlink()
    with begin(tmp_path) as run:
        run.phase("a")
        assert run.ledger["a"]["wall_s"] >= 0.05


def test_an_error_keeps_the_time_and_the_checkpoint(tmp_path: Path) -> None:
    """The phase is not done."""

    def interrupted() -> None:
        with begin(tmp_path) as run, run.phase("a") as phase:
            phase.checkpoint({}, 1)
            time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with begin(tmp_path) as run:
        assert run.ledger["a"]["wall_s"] >= 0.05
        assert run.phase("a").restore() == ({}, 1)
        assert not run.phase("a").is_done


def test_advance_is_seldom_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 steps within a second write the status once, on entering; leaving writes the last figures."""
    from archwright.runs import files

    written: list[str] = []
    original = files.write_json

    def counting(path: Path, document: object, *, durable: bool = True) -> None:
        written.append(Path(path).name)
        original(path, document, durable=durable)

    monkeypatch.setattr(files, "write_json", counting)
    with begin(tmp_path) as run, run.phase("a", total=20_000) as phase:
        start = time.monotonic()
        written.clear()
        for step in range(20_000):
            phase.advance(step + 1, best=step / 20_000)
        assert len(written) <= 2 * int(time.monotonic() - start)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["done"], status["total"], status["best"]) == (20_000, 20_000, 19_999 / 20_000)


def test_progress_of_phases(tmp_path: Path) -> None:
    """Done, stopped, and done before."""
    stream = io.StringIO()
    with begin(tmp_path, stream=stream) as run:
        with run.phase("a", total=2) as phase:
            phase.advance(2, loss=0.5)
            phase.finish()
        with run.phase("a"):
            pass
        with run.phase("b"):
            pass
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a: started (2 units)"
    assert lines[1].startswith("a: done in 0.")
    assert lines[1].endswith(" s, loss=0.5")
    assert lines[2:4] == ["a: done before", "b: started"]
    assert lines[4].startswith("b: stopped after 0.")


def test_a_phase_whose_work_is_gone_is_done_again(tmp_path: Path) -> None:
    """Reopened it is as if it had not begun, and can be finished once more."""
    with open_run(tmp_path, {}, seed=0, threads=1) as run:
        phase = run.phase("a")
        with phase:
            phase.finish({"w": torch.ones(1)}, {"made": 1})
        phase.reopen()
        assert (phase.is_done, phase.result, phase.restore()) == (False, None, None)
        with phase:
            phase.finish(state={"made": 2})
    with open_run(tmp_path, {}, seed=0, threads=1, resume=True) as run:
        assert run.phase("a").result == {"made": 2}
