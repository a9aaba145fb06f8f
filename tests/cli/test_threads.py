"""Which runs are probed for their number of threads, and what becomes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from archwright.cli.threads import choose_threads, is_given
from archwright.recipes.workload import Item, Load, Workload
from archwright.training import threads as probing
from archwright.training.threads import Pace
from archwright.training.timing import Timed

Cli = Callable[..., Any]
BUSY = {1: Pace(104, 10.0), 2: Pace(57, 10.0)}
QUIET = {1: Pace(110, 10.0), 2: Pace(190, 10.0)}


@dataclass(frozen=True)
class Config:
    threads: int = 2


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of the probe, which finds a busy machine."""
    calls: list[dict[str, Any]] = []

    def probe(step: object, candidates: tuple[int, ...], **options: Any) -> dict[int, Pace]:
        calls.append({"candidates": candidates, **options})
        return BUSY

    monkeypatch.setattr(probing, "probe_threads", probe)
    return calls


def recipe(seconds: float, *, device: str = "cpu") -> Any:
    """One whose run is estimated to take so many seconds."""
    work = SimpleNamespace(
        glance=lambda: None,
        seconds=lambda speed: seconds,
        lines=lambda speed, threads=None: ["estimated time"],
        remark_lines=list,
        at_pace=lambda speed, pace: speed,
        memory=None,
        training=Timed(lambda i: None, 8),
        device=torch.device(device),
    )
    return SimpleNamespace(workload=lambda config, task: work)


def test_the_faster_number_is_taken_and_estimated() -> None:
    """A step sleeps 2 ms with one thread and 16 ms with two; the estimate is that of one."""

    def step(i: int) -> None:
        time.sleep(0.002 if torch.get_num_threads() == 1 else 0.016)

    def workload(config: Config, task: Any) -> Workload:
        torch.set_num_threads(config.threads)
        timed = Timed(step, 8)
        return Workload(timed, timed, [Item("5,000 steps", Load(40_000))], config.threads, torch.device("cpu"))

    config, lines = choose_threads(SimpleNamespace(workload=workload), Config(), None, given=False)
    assert config == Config(1)
    assert lines[0].endswith(" on 1 thread of cpu: 5,000 steps")
    assert lines[1].startswith("threads    1 of 2: ")
    assert lines[1].endswith(" (--threads 1)")


@pytest.mark.parametrize(
    ("paces", "line"),
    [
        (BUSY, "threads    1 of 2: 10.4 steps a second against 5.7 (--threads 1)"),
        (QUIET, "threads    2 of 2: 19 steps a second against 11 (--threads 2)"),
    ],
)
def test_the_choice_is_printed_as_an_option(monkeypatch: pytest.MonkeyPatch, paces: dict[int, Pace], line: str) -> None:
    """With what the other would do; figures as measured beside a busy process and without."""
    monkeypatch.setattr(probing, "probe_threads", lambda *_, **__: paces)
    assert choose_threads(recipe(80.0), Config(), None, given=False)[1][-1] == line


@pytest.mark.parametrize(
    ("seconds", "device", "threads", "given"),
    [(19.9, "cpu", 2, False), (80.0, "meta", 2, False), (80.0, "cpu", 1, False), (80.0, "cpu", 2, True)],
)
def test_not_probed(probes: list[dict[str, Any]], seconds: float, device: str, threads: int, given: bool) -> None:
    """Short runs, other devices, one core, a number that was given: the config stays, nothing more is printed."""
    config, lines = choose_threads(recipe(seconds, device=device), Config(threads), None, given=given)
    assert (config, len(lines), probes) == (Config(threads), 1, [])


def test_probe_is_a_small_part_of_the_run(probes: list[dict[str, Any]]) -> None:
    """3 % of it, three seconds at most; all threads have just been warmed up."""
    for seconds in (40.0, 4000.0):
        choose_threads(recipe(seconds), Config(), None, given=False)
    assert [call["candidates"] for call in probes] == [(1, 2), (1, 2)]
    assert [call["seconds"] for call in probes] == [pytest.approx(1.2), 3.0]
    assert [call["warm"] for call in probes] == [(2,), (2,)]


@pytest.mark.parametrize(("told", "counts"), [("3", True), ("", False), ("0", False), ("two", False)])
def test_omp_num_threads_is_a_given_number(monkeypatch: pytest.MonkeyPatch, told: str, counts: bool) -> None:
    """Where it is one."""
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert is_given({}, {}, {}) is counts


def run(cli: Cli, toy: Any, *options: str) -> tuple[int, str]:
    """Threads the recipe was called with, and the line about them."""
    done = cli("search", "toy", "--out", "a", *options)
    said = [line for line in done.out.splitlines() if line.startswith("threads ")]
    return toy.calls[-1]["config"].threads, "".join(said)


@pytest.fixture
def two_cores(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The toy recipe, which by default takes two threads, for a minute."""
    preset = toy.config.preset

    def of_two(name: str, input_shape: tuple[int, ...]) -> Any:
        return replace(preset(name, input_shape), threads=2)

    monkeypatch.setattr(toy.config, "preset", of_two)
    toy.seconds = 60.0
    return toy


def test_run_gets_the_probed_number(cli: Cli, two_cores: Any, probes: list[dict[str, Any]]) -> None:
    """It is in run.json, and a resumed run keeps it unprobed; workers have it too."""
    assert run(cli, two_cores, "--workers", "2") == (
        1,
        "threads    1 of 2: 10.4 steps a second against 5.7 (--threads 1)",
    )
    assert json.loads(Path("a/run.json").read_text())["config"]["threads"] == 1
    assert two_cores.calls[0]["runner"].threads == 1
    Path("a/result.json").unlink()
    assert run(cli, two_cores, "--resume") == (1, "")
    assert run(cli, two_cores, "--resume", "--preset", "quick") == (1, "")
    assert len(probes) == 1


@pytest.mark.parametrize("options", [("--threads", "2"), ("--set", "threads=2")])
def test_given_number_is_kept(cli: Cli, two_cores: Any, probes: list[dict[str, Any]], options: tuple[str, str]) -> None:
    """By its option or as a setting."""
    assert run(cli, two_cores, *options) == (2, "")
    assert probes == []


def test_number_of_the_environment_is_kept(
    cli: Cli, two_cores: Any, probes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OMP_NUM_THREADS is a number given."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert run(cli, two_cores) == (2, "")
    assert probes == []


def test_dry_run_says_what_a_run_would_take(cli: Cli, two_cores: Any, probes: list[dict[str, Any]]) -> None:
    """The estimate is that of the run it stands for."""
    assert cli("search", "toy", "--dry-run").out.splitlines()[-1].endswith("(--threads 1)")
    assert (two_cores.calls, len(probes)) == ([], 1)
