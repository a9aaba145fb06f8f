"""The contract of faults notices what a command can get wrong; its processes are replaced by what they would say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archwright.testing.children import Ended, Job
from archwright.testing.contracts import faults
from archwright.testing.contracts.faults import FaultContract
from archwright.testing.moments import Moment

MOMENTS = tuple(
    Moment(phase, event, n)
    for phase in ("one", "two")
    for event in ("advance", "half of x", "before commit")
    for n in (1, 2)
)
Act = Callable[[Job, Path], Ended]


class Toy(FaultContract):
    """A command that writes one file."""

    arguments = ("search", "toy")
    n_kills = 2
    n_damaged = None
    seed = 5  # by which a bit is flipped

    def compare(self, folder: Path, ended: Ended, calm: tuple[Path, Ended], *, products_only: bool) -> list[str]:
        return [] if (folder / "x").read_text() == "right" else ["x"]


def sound(job: Job, folder: Path) -> Ended:
    """Is stopped when it is to be, notices damage by name, and comes to its end."""
    if job.until is not None:
        return Ended({9: -9, 2: 130, 15: 143}[job.signal], "", "interrupted; continue with: archwright search toy")
    if (folder / "x").exists() and (folder / "x").read_bytes() != b"right":
        return Ended(2, "", f"error: {folder}/x is damaged")
    if job.arguments[0] == "search":
        (folder / "x").write_text("right")
    return Ended(0, "", "", MOMENTS)


def child(act: Act) -> Callable[[Job], Ended]:
    def run(job: Job) -> Ended:
        folder = Path(job.arguments[job.arguments.index("--out") + 1] if "--out" in job.arguments else job.arguments[1])
        if folder.is_symlink() or not folder.exists():
            folder.mkdir(parents=True)
        if (folder / "x").is_symlink() or (folder / "x").is_dir():
            return Ended(2, "", f"error: {folder}/x is no file")
        if (folder / "x").exists() and (folder / "x").stat().st_mode & 0o777 == 0:
            return Ended(2, "", f"error: {folder}/x cannot be read")
        return act(job, folder)

    return run


def careless(job: Job, folder: Path) -> Ended:
    """Does not look at what is there."""
    ended = sound(job, folder)
    return Ended(0, "", "", MOMENTS) if ended.code == 2 else ended


def vague(job: Job, folder: Path) -> Ended:
    """Does not say which file."""
    ended = sound(job, folder)
    return Ended(2, "", "error: something is damaged") if ended.code == 2 else ended


def talkative(job: Job, folder: Path) -> Ended:
    """Says it with a traceback."""
    ended = sound(job, folder)
    return Ended(2, "", f"Traceback (most recent call last):\n{ended.err}") if ended.code == 2 else ended


def late(job: Job, folder: Path) -> Ended:
    """Notices damage after it has started."""
    ended = sound(job, folder)
    return Ended(1, "", ended.err) if ended.code == 2 else ended


def forgetful(job: Job, folder: Path) -> Ended:
    """Comes to another end when it was stopped before."""
    if job.until is not None:
        (folder / "stopped").touch()
    ended = sound(job, folder)
    if (folder / "stopped").exists() and ended.code == 0:
        (folder / "x").write_text("wrong")
    return ended


def immortal(job: Job, folder: Path) -> Ended:
    """Ends with a code of its own where it is told to stop."""
    return Ended(1, "", "error: interrupted") if job.until is not None else sound(job, folder)


def failing(
    act: Act, test: str, tmp_path: Path, factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """What the contract's test says of a command; None where it passes."""
    contract = type("Fresh", (Toy,), {})()
    with monkeypatch.context() as patch:
        patch.setattr(faults, "run_child", child(sound))
        contract.undisturbed(factory)
        patch.setattr(faults, "run_child", child(act))
        try:
            getattr(contract, test)(tmp_path, factory)
        except AssertionError as error:
            return str(error)
    return None


TESTS = (
    *("test_stopped_at_random_moments", "test_killed_in_the_middle_of_something"),
    *("test_signals_end_with_their_codes", "test_damage_in_a_finished_run"),
)


@pytest.mark.parametrize("test", TESTS)
def test_a_sound_command_passes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, test: str
) -> None:
    """Every test of the contract."""
    assert failing(sound, test, tmp_path, tmp_path_factory, monkeypatch) is None


@pytest.mark.parametrize(
    ("act", "test", "said"),
    [
        (forgetful, "test_stopped_at_random_moments", "seed 5, stopped at [(Moment("),
        (forgetful, "test_killed_in_the_middle_of_something", "before commit"),
        (immortal, "test_stopped_at_random_moments", "seed 5"),
        (immortal, "test_signals_end_with_their_codes", "interrupted"),
        (careless, "test_damage_in_a_finished_run", "x"),
        (vague, "test_damage_in_a_finished_run", "something is damaged"),
        (talkative, "test_damage_in_a_finished_run", "Traceback"),
        (late, "test_damage_in_a_finished_run", "code=1"),
    ],
)
def test_a_broken_command_is_noticed(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    act: Act,
    test: str,
    said: str,
) -> None:
    """By the test that states what it breaks, with the seed and the moments."""
    complaint = failing(act, test, tmp_path, tmp_path_factory, monkeypatch)
    assert complaint is not None
    assert said in complaint
