"""Many processes write into one database: nothing is lost, nothing doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Trial
from archwright.stores import open_store

# A writer adds its share of every study's trials, one by one and in batches by turns; a trial that is there already,
# because its process was killed and started again, it skips. In `contested` every writer tries every number. A reader
# looks on until it is told to stop: what it has once seen stays, and is what was written.
_SCRIPT = """
import sys, time
from pathlib import Path
from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError
from archwright.core.trial import Candidate, Trial
from archwright.stores import open_store

def make_trial(number):
    return Trial(Candidate(number, Arch({"op": "conv"}), number), metrics={"top1_accuracy": number / 7})

role, where, flags = sys.argv[1], sys.argv[2], Path(sys.argv[3])
me, n_writers, n_trials, n_contested = map(int, sys.argv[4:])
studies = ["search", "baseline"]

if role == "read":
    stores, seen = [open_store(where, study) for study in studies], dict.fromkeys(studies, 0)
    while not (flags / "stop").exists():
        for store in stores:
            trials = store.trials()
            assert all(trial == make_trial(trial.number) for trial in trials), "other trials than were written"
            assert len(trials) >= seen[store.study], "trials vanished"
            seen[store.study] = len(trials)
    print(sum(seen.values()))
else:
    for study in studies:
        with open_store(where, study) as store:
            present = {trial.number for trial in store.trials()}
            todo = [number for number in range(me, n_trials, n_writers) if number not in present]
            while todo:
                n = 1 + len(todo) % 2 * 6
                store.add([make_trial(number) for number in todo[:n]])
                todo = todo[n:]
    while not (flags / "contest").exists():
        time.sleep(0.01)
    won = 0
    with open_store(where, "contested") as store:
        for number in range(n_contested):
            try:
                store.add([make_trial(number)])
                won += 1
            except InvalidValueError:
                pass
    print(won)
"""


def make_trial(number: int) -> Trial:
    return Trial(Candidate(number, Arch({"op": "conv"}), number), metrics={"top1_accuracy": number / 7})


@pytest.fixture
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database nobody has opened yet."""
    if request.param == "sqlite":
        return str(tmp_path / "trials.sqlite")
    return str(request.getfixturevalue("postgresql").database(tmp_path))


class Crew:
    """Processes that work on one database; flags in a folder tell them when to go on and when to stop."""

    def __init__(self, where: str, flags: Path, environment: Mapping[str, str], *numbers: int) -> None:
        self._flags, self._environment = flags, environment
        self._command = [sys.executable, "-c", _SCRIPT, "{role}", where, str(flags), "{me}", *map(str, numbers)]
        self._all: list[subprocess.Popen[str]] = []

    def start(self, role: str, me: int = 0) -> subprocess.Popen[str]:
        command = [part.replace("{role}", role).replace("{me}", str(me)) for part in self._command[3:]]
        process = subprocess.Popen(
            [*self._command[:3], *command],
            env=dict(self._environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._all.append(process)
        return process

    def flag(self, name: str) -> None:
        (self._flags / name).touch()

    def said(self, process: subprocess.Popen[str]) -> int:
        """The number it printed at its end."""
        out, err = process.communicate(timeout=250)
        assert process.returncode == 0, err
        return int(out)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("where", "writers", "trials", "contested"),
    [
        ("sqlite", 4, 120, 20),
        pytest.param("sqlite", 16, 10_000, 300, marks=pytest.mark.slow),
        pytest.param("postgresql", 4, 120, 20, marks=pytest.mark.slow),
        pytest.param("postgresql", 16, 10_000, 300, marks=pytest.mark.slow),
    ],
    indirect=["where"],
)
def test_processes_share_a_database(
    where: str, tmp_path: Path, child_environment: Mapping[str, str], writers: int, trials: int, contested: int
) -> None:
    """The trials of two studies come from all of them, beside a reader, while one is killed and started again.

    They begin from no database. A number that all try to add is added by one of them.
    """
    half = trials // 2
    with Crew(where, tmp_path, child_environment, writers, half, contested) as crew:
        reader = crew.start("read")
        crowd = [crew.start("write", me) for me in range(writers)]
        victim = crowd.pop()
        with open_store(where) as store:
            while store.get(writers - 1) is None:
                assert victim.poll() is None, victim.communicate()
                time.sleep(0.005)
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        crowd.append(crew.start("write", writers - 1))
        crew.flag("contest")
        assert sum(crew.said(process) for process in crowd) == contested
        crew.flag("stop")
        assert crew.said(reader) <= 2 * half
    for study, n in (("search", half), ("baseline", half), ("contested", contested)):
        with open_store(where, study) as store:
            assert store.trials() == [make_trial(number) for number in range(n)]
