"""Which folders a run accepts, what it writes there, what resuming demands."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import Candidate, Trial
from archwright.runs.record import read_record
from archwright.runs.run import Run, open_run
from archwright.stores import MemoryStore

CONFIG = {"recipe": "spos", "training": {"steps": 100, "lr": 0.5}, "limits": [["macs", 2e6]]}


def begin(folder: Path | str | None, *, resume: bool = False, seed: int = 1, **others: Any) -> Run:
    return open_run(folder, others.pop("config", CONFIG), seed=seed, resume=resume, threads=1, **others)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- beginning ---------------------------------------------------------------------------------------------------


def test_a_new_folder_with_missing_parents(tmp_path: Path) -> None:
    """run.json says what is needed to repeat the run."""
    with begin(tmp_path / "a" / "b", command=["archwright", "search", "spos"]) as run:
        assert run.folder == tmp_path / "a" / "b"
    written = read_record(tmp_path / "a" / "b")
    assert {name: written[name] for name in ("format", "recipe", "config", "seed", "threads", "command")} == {
        "format": 1,
        "recipe": "spos",
        "config": CONFIG,
        "seed": 1,
        "threads": 1,
        "command": ["archwright", "search", "spos"],
    }
    assert set(written["versions"]) == {"python", "archwright", "torch", "numpy"}
    assert set(written["host"]) == {"platform", "cpu_count", "machine"}
    assert written["started"].endswith("Z")
    assert run.record == written


@pytest.mark.parametrize("resume", [False, True])
def test_an_empty_folder(tmp_path: Path, resume: bool) -> None:
    """Begins, also when asked to resume."""
    with begin(tmp_path, resume=resume):
        assert (tmp_path / "run.json").exists()


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    """Without resume a second run in the folder is refused and says what to do."""
    begin(tmp_path).close()
    before = content(tmp_path)
    with pytest.raises(RunFolderError, match="is not empty; choose another --out or add --resume"):
        begin(tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["thesis.doc", "log.txt", "choice.json", "trials.sqlite", ".hidden"])
def test_a_folder_of_something_else_is_left_untouched(tmp_path: Path, resume: bool, name: str) -> None:
    """Not even a lock file is made."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        begin(tmp_path, resume=resume)
    assert content(tmp_path) == {name: b"mine"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The message says so, whether the file is the folder or above it."""
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunFolderError, match="x is a file"):
        begin(tmp_path / "x")
    with pytest.raises(RunFolderError, match="cannot be made"):
        begin(tmp_path / "x" / "y")


@pytest.mark.parametrize("resume", [False, True])
def test_a_start_that_was_killed_before_run_json(tmp_path: Path, resume: bool) -> None:
    """Lock, log and the temporary file of run.json are no foreign content."""
    (tmp_path / "run.lock").write_text("123")
    (tmp_path / "log.txt").write_text("2026-01-01T00:00:00Z star")
    (tmp_path / f".run.json.{'0' * 16}.tmp").write_text('{"form')
    with begin(tmp_path, resume=resume) as run:
        run.log("next")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt", "run.json", "run.lock"]
    assert (tmp_path / "log.txt").read_text().splitlines()[0] == "2026-01-01T00:00:00Z star"


def test_what_went_before_a_run_is_kept_from_its_start(tmp_path: Path) -> None:
    """Written before run.json: a start that was killed between the two begins anew, a run that goes on keeps it."""
    (tmp_path / "run.lock").write_text("")
    (tmp_path / "choice.json").write_text("{")
    begin(tmp_path, documents={"choice.json": {"space": "a"}}).close()
    begin(tmp_path, resume=True, documents={"choice.json": {"space": "b"}}).close()
    assert json.loads((tmp_path / "choice.json").read_text()) == {"space": "a"}


def test_a_choice_that_was_not_run_is_no_other_run_s(tmp_path: Path) -> None:
    """What a killed start left goes."""
    (tmp_path / "run.lock").write_text("")
    (tmp_path / "choice.json").write_text("{}")
    begin(tmp_path).close()
    assert not (tmp_path / "choice.json").exists()


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True])
def test_seed_out_of_range(seed: Any) -> None:
    """Seeds are what databases and derive_seed take."""
    with pytest.raises(InvalidValueError, match="seed is"):
        open_run(None, {}, seed=seed, threads=1)


def test_config_that_is_no_json(tmp_path: Path) -> None:
    """Refused before the folder is made."""
    with pytest.raises(InvalidValueError, match="the config of a run cannot be JSON"):
        begin(tmp_path / "a", config={"lr": float("nan")})
    assert not (tmp_path / "a").exists()


# --- locking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_use(tmp_path: Path, resume: bool) -> None:
    """The message names the process, with resume and without."""
    with begin(tmp_path), pytest.raises(RunFolderError, match=f"in use by process {os.getpid()};"):
        begin(tmp_path, resume=resume)
    begin(tmp_path, resume=True).close()


def test_of_two_that_begin_at_once_one_wins(tmp_path: Path) -> None:
    """Eight threads, one run."""
    outcomes: list[str] = []
    hold = threading.Event()

    def attempt() -> None:
        try:
            with begin(tmp_path / "a"):
                outcomes.append("run")
                hold.wait(5)
        except RunFolderError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(outcomes) < 8:
        time.sleep(0.01)
    hold.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["run"]


def test_a_refused_resumption_frees_the_lock(tmp_path: Path) -> None:
    """Mending the command is all that is needed."""
    begin(tmp_path).close()
    with pytest.raises(RunFolderError):
        begin(tmp_path, resume=True, seed=2)
    begin(tmp_path, resume=True).close()


# --- resuming ----------------------------------------------------------------------------------------------------


def test_resuming_another_run_lists_each_difference(tmp_path: Path) -> None:
    """Dotted names with both values; nothing is changed."""
    begin(tmp_path).close()
    before = {name: data for name, data in content(tmp_path).items() if name != "run.lock"}
    other = {"recipe": "spos", "training": {"steps": 200, "ema": True}, "limits": [["macs", 3e6]]}
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path, other, seed=2, resume=True, threads=4)
    message = str(caught.value)
    for difference in (
        "limits was [['macs', 2000000.0]] and is now [['macs', 3000000.0]]",
        "seed was 1 and is now 2",
        "threads was 1 and is now 4",
        "training.ema was absent and is now True",
        "training.lr was 0.5 and is now absent",
        "training.steps was 100 and is now 200",
    ):
        assert difference in message
    assert "recipe" not in message
    assert {name: data for name, data in content(tmp_path).items() if name != "run.lock"} == before


def test_a_setting_that_a_stored_run_lacks_has_its_declared_value(tmp_path: Path) -> None:
    """With that value the run goes on, with another it is another run."""
    begin(tmp_path, config={"training": {"lr": 0.5}}).close()
    asked = {"training": {"lr": 0.5, "eps": 1e-8}}
    begin(tmp_path, config=asked, resume=True, absent={"training.eps": 1e-8}).close()
    with pytest.raises(RunFolderError, match=r"training\.eps was 0\.1 and is now 1e-08"):
        begin(tmp_path, config=asked, resume=True, absent={"training.eps": 0.1})


def test_tuples_in_a_config_equal_the_lists_json_makes_of_them(tmp_path: Path) -> None:
    """The effective config of a dataclass resumes itself."""
    config = {"input_shape": (3, 32, 32)}
    begin(tmp_path, config=config).close()
    begin(tmp_path, config=config, resume=True).close()
    assert json.loads((tmp_path / "run.json").read_text())["config"] == {"input_shape": [3, 32, 32]}


def test_other_versions_are_a_line_in_the_log(tmp_path: Path) -> None:
    """Not an error, and run.json keeps those of the start."""
    begin(tmp_path).close()
    record = json.loads((tmp_path / "run.json").read_text())
    record["versions"]["numpy"] = "0.1"
    del record["sha256"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with begin(tmp_path, resume=True) as run:
        assert run.record["versions"]["numpy"] == "0.1"
    assert "versions changed since the start, results may differ: numpy 0.1 → " in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run.json is damaged"),
        ('{"format": 1, "recipe": "spos"', "run.json is damaged"),
        ("[]", "run.json is damaged, it holds no mapping"),
        ("{}", "run.json is no record of a run"),
        ('{"format": 2}', "run.json has format 2; this archwright reads 1"),
        ('{"format": 1, "recipe": "spos", "config": [], "seed": 1}', "run.json is damaged, 'config'"),
    ],
)
def test_a_damaged_or_future_run_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """By name; the file stays."""
    begin(tmp_path).close()
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=message):
        begin(tmp_path, resume=True)
    assert (tmp_path / "run.json").read_text() == text


def test_leftovers_of_killed_writes_go(tmp_path: Path) -> None:
    """When the run is opened again."""
    with begin(tmp_path) as run:
        run.write_json("best/arch.json", {})
    leftover = tmp_path / "best" / f".arch.json.{'f' * 16}.tmp"
    leftover.write_text("{")
    begin(tmp_path, resume=True).close()
    assert not leftover.exists()


# --- using -------------------------------------------------------------------------------------------------------


def test_stores_of_a_run(tmp_path: Path) -> None:
    """One a study, the same object each time, in trials.sqlite, there again after resuming."""
    trial = Trial(Candidate(0, Arch({"op": "conv"}), 5))
    with begin(tmp_path) as run:
        assert run.store() is run.store("search")
        run.store().add([trial])
        assert len(run.store("baseline")) == 0
    assert (tmp_path / "trials.sqlite").exists()
    with begin(tmp_path, resume=True) as run:
        assert run.store().trials() == [trial]


def test_a_finished_run_gives_its_result_when_resumed(tmp_path: Path) -> None:
    """As JSON gives it back; before, there is none."""
    with begin(tmp_path) as run:
        assert run.result is None
        run.finish({"test": 0.97, "shape": (1, 2)})
        assert run.result == {"test": 0.97, "shape": [1, 2]}
    assert json.loads((tmp_path / "result.json").read_text()) == {"test": 0.97, "shape": [1, 2]}
    with begin(tmp_path, resume=True) as run:
        assert run.result == {"test": 0.97, "shape": [1, 2]}


def test_a_changed_result_is_refused_and_a_deleted_one_is_made_again(tmp_path: Path) -> None:
    """Never a wrong result."""
    with begin(tmp_path) as run:
        run.finish({"test": 0.97})
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace("7", "8"))
    with begin(tmp_path, resume=True) as run, pytest.raises(RunFolderError, match=r"result\.json was changed"):
        _ = run.result
    path.unlink()
    with begin(tmp_path, resume=True) as run:
        assert run.result is None


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "best/../../x", "link/x", "", ".", "a\nb", "a\0b"])
def test_a_path_does_not_leave_the_folder(tmp_path: Path, name: str) -> None:
    """Neither by dots nor by a link."""
    with begin(tmp_path / "run") as run:
        (tmp_path / "run" / "link").symlink_to(tmp_path)
        with pytest.raises(InvalidValueError, match="is no file inside the run's folder"):
            run.path(name)
        assert run.path("best/arch.json") == tmp_path / "run" / "best" / "arch.json"


def test_log_lines(tmp_path: Path) -> None:
    """UTC time first, one line each, whatever they hold; an error that ends the run is the last."""

    def fail() -> None:
        with begin(tmp_path) as run:
            run.log("a\nb\x1b[0m")
            raise ZeroDivisionError("1/0")

    with pytest.raises(ZeroDivisionError):
        fail()
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split("Z ", 1)[1] for line in lines] == [
        "started spos with seed 1",
        "a\\nb\\x1b[0m",
        "stopped by ZeroDivisionError: 1/0",
    ]


def test_a_run_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And still does all else."""
    monkeypatch.chdir(tmp_path)
    with begin(None) as run:
        assert run.folder is None
        assert isinstance(run.store(), MemoryStore)
        assert run.store("search") is run.store()
        run.log("line")
        run.write_json("x.json", {"a": 1})
        run.finish({"test": (1,)})
        assert run.result == {"test": [1]}
        with pytest.raises(RunError, match="kept in memory"):
            run.path("x")
        with pytest.raises(InvalidValueError):
            run.write_json("x.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_a_closed_run_writes_nothing_more(tmp_path: Path) -> None:
    """Its lock is gone, so another process may own the folder."""
    run = begin(tmp_path)
    phase = run.phase("a")
    run.close()
    run.close()
    for act in (run.store, lambda: run.phase("b"), lambda: run.finish({}), lambda: run.log("x"), phase.finish):
        with pytest.raises(RunError, match="closed"):
            act()


def test_the_command_line_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run started by the command says how; one started from Python does not."""
    monkeypatch.setattr("sys.argv", ["/env/bin/archwright", "search", "spos"])
    with open_run(tmp_path / "a", {}, seed=0) as run:
        assert run.record["command"] == ["archwright", "search", "spos"]
    monkeypatch.setattr("sys.argv", ["mine.py"])
    with open_run(tmp_path / "b", {}, seed=0) as run:
        assert run.record["command"] is None


# --- harm --------------------------------------------------------------------------------------------------------


def test_a_lost_product_makes_a_run_unfinished_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    """What a user is given is as much a part of the result as result.json."""
    with begin(tmp_path) as run:
        run.write_json("best/arch.json", {"arch": 1})
        run.finish({"test": 0.97}, products=["best/arch.json"])
    path = tmp_path / "best" / "arch.json"
    path.write_text(path.read_text().replace("1", "2"))
    with begin(tmp_path, resume=True) as run, pytest.raises(RunFolderError, match=r"best/arch\.json was changed"):
        _ = run.result
    path.unlink()
    with begin(tmp_path, resume=True) as run:
        assert run.result is None


def test_lost_trials_make_a_run_unfinished(tmp_path: Path) -> None:
    """A database that is gone is made anew, and would say nothing of the loss."""
    with begin(tmp_path) as run:
        run.store().add([Trial(Candidate(0, Arch({"op": "conv"}), 5))])
        run.finish({"test": 0.97})
    with begin(tmp_path, resume=True) as run:
        assert run.result == {"test": 0.97}
    (tmp_path / "trials.sqlite").unlink()
    with begin(tmp_path, resume=True) as run:
        assert run.result is None


@pytest.mark.parametrize(
    "name", ["run.json", "status.json", "ledger.json", "result.json", "log.txt", "run.lock", "trials.sqlite"]
)
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    """Not in the middle of the run, when it comes to writing there; a link to nothing is no file either."""
    with begin(tmp_path) as run:
        run.store()
        run.finish({})
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(RunFolderError, match=f"{name} is no file, as a run has there"):
        begin(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["checkpoints", "best"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Likewise."""
    begin(tmp_path).close()
    (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match=f"{name} is no folder, as a run has there"):
        begin(tmp_path, resume=True)


def test_a_changed_run_json_is_refused(tmp_path: Path) -> None:
    """A run must not go on with other numbers than it began with."""
    begin(tmp_path).close()
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"steps": 100', '"steps": 101'))
    with pytest.raises(RunFolderError, match=r"run\.json is damaged or was changed"):
        begin(tmp_path, resume=True)
