"""A run of SPOS that is stopped anywhere ends, resumed, like one that was not."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archwright.cli import main
from archwright.recipes import SposConfig, spos
from archwright.runs.phase import Phase
from archwright.runs.run import open_run
from archwright.tasks import digits
from archwright.testing.faults import Stop, differences, stop_at

PHASES = (
    *("supernet", "search", "baseline", "retrain-winner", "retrain-baseline", "retrain-draw0", "retrain-plain"),
    *("test", "export", "latency"),
)
TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def eager_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step."""
    module = sys.modules["archwright.recipes.base"]
    monkeypatch.setattr(module, "open_run", functools.partial(open_run, checkpoint_every_s=0.0))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, Callable[[], None]], None]:
    """Do something when a phase has come so far; the latest request holds."""
    advance = Phase.advance

    def request(name: str, done: int, act: Callable[[], None]) -> None:
        def advancing(phase: Phase, so_far: int, **figures: float | str) -> None:
            advance(phase, so_far, **figures)
            if (phase.name, so_far) == (name, done):
                act()

        monkeypatch.setattr(Phase, "advance", advancing)

    return request


def _die() -> None:
    raise Killed


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_config: SposConfig) -> Path:
    """The folder of an undisturbed run on the tiny space."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    spos(tiny_config, digits(), out=folder)
    return folder


@pytest.fixture(scope="module")
def tiny_config(smoke_config: Callable[[int], SposConfig]) -> SposConfig:
    """What `_tiny` asks for on the command line."""
    smoke = smoke_config(0)
    return replace(
        smoke, space=TINY, supernet=replace(smoke.supernet, steps=60), retrain=replace(smoke.retrain, steps=60)
    )


def _tiny(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return (*arguments, "--space", TINY, "--set", "supernet.steps=60", "--set", "retrain.steps=60")


@pytest.mark.slow
@pytest.mark.usefixtures("eager_checkpoints")
def test_dying_at_every_stage_changes_nothing(
    tmp_path: Path, calm: Path, tiny_config: SposConfig, at: Callable[..., None]
) -> None:
    """One run, ended ten times within and between its phases; a user's tiny space on the digits."""
    moments = [("supernet", 1), ("supernet", 40), ("search", 4), ("baseline", 8)]
    moments += [("retrain-winner", 3), ("retrain-winner", 60), ("retrain-draw0", 2), ("test", 1)]
    moments += [("export", 2), ("latency", 1)]
    for phase, done in moments:
        at(phase, done, _die)
        with pytest.raises(Killed):
            spos(tiny_config, digits(), out=tmp_path / "run", resume=True)
        assert not (tmp_path / "run" / "result.json").exists()
    at("none", 0, _die)
    spos(tiny_config, digits(), out=tmp_path / "run", resume=True)
    assert differences(tmp_path / "run", calm) == []


def test_status_of_a_running_dead_and_finished_run(
    tmp_path: Path, smoke_config: Callable[[int], SposConfig], at: Callable[..., None], cli: Callable[..., Any]
) -> None:
    """Where it is, how to go on, that it is done; looking does not disturb it."""
    config, folder = replace(smoke_config(0), space=TINY), tmp_path / "run"
    seen: list[Any] = []

    def look_and_die() -> None:
        seen.append(json.loads(cli("status", folder, "--json").out))
        raise Killed

    at("search", 4, look_and_die)
    with pytest.raises(Killed):
        spos(config, digits(), out=folder)
    assert (seen[0]["state"], seen[0]["phase"], seen[0]["total"]) == ("running", "search", 8)
    dead = json.loads(cli("status", folder, "--json").out)
    assert (dead["state"], dead["phase"], dead["done"]) == ("dead", "search", 4)
    assert dead["best"] > 0
    said = cli("status", folder).out.splitlines()
    assert said[0].split() == ["state", "dead"]
    assert said[-2:] == ["continue with:", f"  archwright search spos --out {folder} --resume"]
    at("none", 0, _die)
    spos(config, digits(), out=folder, resume=True)
    done = json.loads(cli("status", folder, "--json").out)
    assert (done["state"], done["done"], done["total"], done["time_left_s"]) == ("finished", 2, 2, 0.0)


def _resumed(arguments: Sequence[str], folder: Path) -> int:
    return main([*arguments, "--out", str(folder), "--resume"])


@pytest.mark.slow
def test_kill_9_and_sigterm_leave_a_run_resumable(
    tmp_path: Path, calm: Path, arguments: tuple[str, ...], at: Callable[..., None], cli: Callable[..., Any]
) -> None:
    """Killed in a process of its own, terminated (143) in this one; then the end of an undisturbed run."""
    folder, tiny = tmp_path / "run", _tiny(arguments)
    assert stop_at(Stop("retrain-winner"), tiny, folder) == -signal.SIGKILL
    at("test", 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    stopped = cli(*tiny, "--out", folder, "--resume")
    assert (stopped.code, stopped.out[:14]) == (143, "estimated time")
    hint = f"terminated; continue with: archwright search spos --out {folder} --resume"
    assert stopped.err.splitlines()[-1] == hint
    assert "stopped by Terminated" in (folder / "log.txt").read_text()
    at("none", 0, _die)
    assert cli(*tiny, "--out", folder, "--resume").code == 0
    assert differences(folder, calm) == []


def test_interrupts_within_a_phase_end_with_130(
    tmp_path: Path, arguments: tuple[str, ...], at: Callable[..., None], cli: Callable[..., Any]
) -> None:
    """The line tells how to go on."""
    at("search", 4, lambda: os.kill(os.getpid(), signal.SIGINT))
    stopped = cli(*arguments, "--space", TINY, "--out", tmp_path / "run")
    assert stopped.code == 130
    hint = f"interrupted; continue with: archwright search spos --out {tmp_path / 'run'} --resume"
    assert stopped.err.splitlines()[-1] == hint


def test_finished_run_is_only_opened(tmp_path: Path, finished: Any, cli: Callable[..., Any]) -> None:
    """--resume prints its result again and changes no file; the folder alone is enough to say which."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    before = {path: path.read_bytes() for path in _files(folder)}
    again = cli("search", "spos", "--out", folder, "--resume")
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines()[:-5] == finished.result.summary()[:-5]
    assert again.out.splitlines()[-5].startswith(f"files      {folder}/best")
    assert {path: path.read_bytes() for path in _files(folder)} == before


def _files(folder: Path) -> Iterator[Path]:
    """What tells about the run; the lock and the log note that it was opened."""
    return (path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.lock", "log.txt"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--seed", "5"), "seed"),
        (("--threads", "2"), "threads"),
        (("--set", "supernet.steps=9"), "supernet.steps"),
        (("--max-macs", "4M"), "limits"),
    ],
)
def test_resuming_with_other_numbers_is_refused(
    tmp_path: Path, finished: Any, cli: Callable[..., Any], option: tuple[str, str], message: str
) -> None:
    """A run has one configuration; the line says what differs."""
    shutil.copytree(finished.folder, tmp_path / "run")
    done = cli("search", "spos", "--out", tmp_path / "run", "--resume", *option)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


# ── the same, often ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_signals_end_a_process_with_their_codes(tmp_path: Path, calm: Path, arguments: tuple[str, ...]) -> None:
    """Ctrl-C ends with 130, SIGTERM with 143, SIGKILL as it is; then the end of an undisturbed run."""
    folder, tiny = tmp_path / "run", _tiny(arguments)
    stops = [
        Stop("supernet", signal=signal.SIGINT),
        Stop("retrain-winner", signal=signal.SIGTERM),
        Stop("export"),
    ]
    assert [stop_at(stop, tiny, folder) for stop in stops] == [130, 143, -signal.SIGKILL]
    assert "stopped by KeyboardInterrupt" in (folder / "log.txt").read_text()
    assert _resumed(tiny, folder) == 0
    assert differences(folder, calm) == []


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_kill_9_at_the_start_within_and_after_a_phase(
    tmp_path: Path, finished: Any, arguments: tuple[str, ...], phase: str
) -> None:
    """Each phase begun, somewhat later, and on the way to the next."""
    folder = tmp_path / "run"
    stops = [Stop(phase), Stop(phase, after_s=0.15), Stop(phase, when_done=True)]
    codes = [stop_at(stop, arguments, folder) for stop in stops]
    assert codes[0] == -signal.SIGKILL
    assert _resumed(arguments, folder) == 0
    assert differences(folder, finished.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_kill_9_at_random_moments(tmp_path: Path, finished: Any, arguments: tuple[str, ...], seed: int) -> None:
    """Five moments a run; what the moments were follows the seed."""
    folder, moments = tmp_path / "run", random.Random(seed)
    for _ in range(5):
        stop_at(Stop(after_s=moments.uniform(0, 4)), arguments, folder)
    assert _resumed(arguments, folder) == 0
    assert differences(folder, finished.folder) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("phase", ["supernet", "retrain-winner"])
def test_kill_9_after_a_checkpoint_within_a_training(tmp_path: Path, arguments: tuple[str, ...], phase: str) -> None:
    """A training of half a minute or more, which goes on from the checkpoint in its middle."""
    longer = (*arguments, "--set", "supernet.steps=600", "--set", "retrain.steps=600", "--set", "n_draws=0")
    assert stop_at(Stop(phase, when_saved=True, after_s=1.0), longer, tmp_path / "run") == -signal.SIGKILL
    assert _resumed(longer, tmp_path / "run") == 0
    assert _resumed(longer, tmp_path / "calm") == 0
    assert differences(tmp_path / "run", tmp_path / "calm") == []
