"""Full and read-only disks, and a wall clock that jumps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from archwright.runs.status import read_status
from archwright.stores.opening import open_store
from archwright.testing.children import Ended, Job, as_arguments, run_child
from archwright.testing.faults import differences
from archwright.testing.moments import Moment

TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"
SMOKE = ("--data", "digits", "--preset", "smoke", "--threads", "1", "--device", "cpu")
TRAIN = ("train", f"{TINY}:0120", *SMOKE)
SPOS = ("search", "spos", *SMOKE, "--space", TINY, "--set", "n_draws=0")

if sys.platform != "linux":
    pytest.skip("tmpfs and limits as Linux has them", allow_module_level=True)


def run(command: tuple[str, ...], folder: Path, **others: object) -> Ended:
    return run_child(Job(as_arguments([*command, "--out", folder, "--resume"]), **others))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """The folder of an undisturbed run of a command."""
    made: dict[tuple[str, ...], Path] = {}

    def find(command: tuple[str, ...]) -> Path:
        if command not in made:
            made[command] = tmp_path_factory.mktemp("calm") / "run"
            assert run(command, made[command]).code == 0
        return made[command]

    return find


def check_refusal(ended: Ended, code: int, name: str) -> None:
    """One line that names the file."""
    assert ended.code == code, ended
    assert len(ended.errors) == 1, ended
    assert name in ended.errors[0]
    assert "Traceback" not in ended.err


# ── a disk that is full ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "until", "size", "name"),
    [
        (TRAIN, None, 5_000, "train.safetensors"),
        (TRAIN, Moment("export", "begin"), 5_000, "model.safetensors"),
        (TRAIN, Moment("latency", "half of report.html"), 300_000, "report.html"),
        (SPOS, Moment("search", "advance"), 33_000, "trials.sqlite"),  # SQLite maps 32 kB before it writes
    ],
    ids=["training", "export", "page", "trials"],
)
def test_a_file_that_cannot_grow(
    tmp_path: Path,
    calm: Callable[[tuple[str, ...]], Path],
    command: tuple[str, ...],
    until: Moment | None,
    size: int,
    name: str,
) -> None:
    """By a limit on the size of a file: one line, and with room the run comes to its end."""
    if until is not None:
        assert run(command, tmp_path / "run", until=until).code < 0
    check_refusal(run(command, tmp_path / "run", file_bytes=size), 1, name)
    assert run(command, tmp_path / "run").code == 0
    assert differences(tmp_path / "run", calm(command), studies(command)) == []


def studies(command: tuple[str, ...]) -> tuple[str, ...]:
    return ("search", "baseline") if command[0] == "search" else ()


def test_no_room_for_the_first_file(tmp_path: Path) -> None:
    """Nothing has started yet, so this can be mended first: exit code 2."""
    check_refusal(run(TRAIN, tmp_path / "run", file_bytes=1_000), 2, "run.json")


@dataclass(frozen=True)
class Disk:
    """A file system of its own."""

    path: Path

    def set(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A tmpfs of 64 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"there is no mount: {error}")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk(disk: Disk, calm: Callable[[tuple[str, ...]], Path]) -> None:
    """Exit code 1 and one line that names the file; with more room the run comes to its end."""
    folder = disk.path / "run"
    check_refusal(run(TRAIN, folder), 1, f"{folder}/")
    disk.set("size=64m")
    assert run(TRAIN, folder).code == 0
    assert differences(folder, calm(TRAIN), ()) == []


def test_a_read_only_folder(disk: Disk, calm: Callable[[tuple[str, ...]], Path], tmp_path: Path) -> None:
    """Neither begun nor resumed, but looked into, and exported from to another place."""
    disk.set("size=64m")
    for name, until in (("half", Moment("test", "begin")), ("whole", None)):
        run(TRAIN, disk.path / name, until=until)
    disk.set("ro")
    for name in ("new", "half", "whole"):
        check_refusal(run(TRAIN, disk.path / name), 2, f"{disk.path / name}")
    looked = run_child(Job(("status", str(disk.path / "half"), "--json")))
    assert (looked.code, json.loads(looked.out)["state"]) == (0, "dead")
    out = tmp_path / "model.onnx"
    assert run_child(Job(("export", str(disk.path / "whole"), "-o", str(out)))).code == 0
    assert out.read_bytes() == (calm(TRAIN) / "best" / "model.onnx").read_bytes()


# ── a clock that jumps ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step_s", [-3600.0, 1e6], ids=["back", "on"])
def test_a_wall_clock_that_jumps(tmp_path: Path, calm: Callable[[tuple[str, ...]], Path], step_s: float) -> None:
    """An hour back, or days on, at each look, over a resumption and with files from the future: the same end."""
    folder = tmp_path / "run"
    assert run(SPOS, folder, until=Moment("search", "advance"), clock_step_s=step_s).code < 0
    check_times(folder)
    for path in folder.rglob("*"):
        os.utime(path, (4e9, 4e9))
    assert run(SPOS, folder, clock_step_s=step_s).code == 0
    check_times(folder)
    assert differences(folder, calm(SPOS)) == []


def check_times(folder: Path) -> None:
    """No time taken or left is negative, or as long as the clock jumped."""
    status = read_status(folder)
    ledger = json.loads((folder / "ledger.json").read_text())
    times = [status["elapsed_s"], status["time_left_s"] or 0.0]
    times += [entry[name] for entry in ledger.values() if isinstance(entry, dict) for name in ("wall_s", "cpu_s")]
    with open_store(folder, "search") as store:
        times += [trial.duration_s for trial in store.trials() if trial.duration_s is not None]
    assert all(0 <= seconds < 600 for seconds in times)
