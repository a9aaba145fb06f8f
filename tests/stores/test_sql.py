"""What only a database can get wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import Candidate, Trial
from archwright.stores.sql import SqlStore


def make_trial(number: int) -> Trial:
    return Trial(Candidate(number, Arch({"op": "conv"}), number), metrics={"top1_accuracy": 0.5})


def fill(path: Path, n: int) -> None:
    with SqlStore(path) as store:
        store.add([make_trial(number) for number in range(n)])


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_studies_in_one_file_are_apart(tmp_path: Path) -> None:
    """The same number may occur in each."""
    with SqlStore(tmp_path / "t.sqlite", "search") as search, SqlStore(tmp_path / "t.sqlite", "baseline") as baseline:
        search.add([make_trial(0), make_trial(1)])
        baseline.add([make_trial(0)])
        assert (len(search), len(baseline)) == (2, 1)


def test_two_objects_see_each_other(tmp_path: Path) -> None:
    """No stale snapshot, and a number taken by the other is refused."""
    with SqlStore(tmp_path / "t.sqlite") as one, SqlStore(tmp_path / "t.sqlite") as two:
        assert len(two) == 0
        one.add([make_trial(0)])
        assert len(two) == 1
        with pytest.raises(InvalidValueError, match="trial 0 is already in study 'search'"):
            two.add([make_trial(0)])


def test_reopened(tmp_path: Path) -> None:
    """Trials outlive the object."""
    fill(tmp_path / "t.sqlite", 50)
    with SqlStore(tmp_path / "t.sqlite") as store:
        assert store.trials() == [make_trial(number) for number in range(50)]


@pytest.mark.parametrize(("safe", "expected"), [(False, 1), (True, 2)])
def test_journal_and_flushing(tmp_path: Path, safe: bool, expected: int) -> None:
    """Write-ahead log; synchronous is NORMAL (1) or, safe against power loss, FULL (2)."""
    with SqlStore(tmp_path / "t.sqlite", power_loss_safe=safe) as store:
        assert store._connection is not None
        assert store._connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert store._connection.exec_driver_sql("PRAGMA synchronous").scalar() == expected


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    """The message names the file, whose bytes stay."""
    path = tmp_path / "t.sqlite"
    path.write_bytes(b"my notes, " * 1000)
    with pytest.raises(RunFolderError, match=r"t\.sqlite"):
        SqlStore(path)
    assert path.read_bytes() == b"my notes, " * 1000


def test_a_database_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    """No table of ours is put into it."""
    path = tmp_path / "t.sqlite"
    change(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match=r"t\.sqlite is a database of something else \(table 'recipes'\)"):
        SqlStore(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """The message names file and version."""
    fill(tmp_path / "t.sqlite", 1)
    change(tmp_path / "t.sqlite", "UPDATE archwright_schema SET version = 99")
    with pytest.raises(RunFolderError, match=r"t\.sqlite has schema version 99"):
        SqlStore(tmp_path / "t.sqlite")


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    """One clear error."""
    (tmp_path / "t.sqlite").mkdir()
    with pytest.raises(RunFolderError, match=r"t\.sqlite"):
        SqlStore(tmp_path / "t.sqlite")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    """Half a database is damaged."""
    path = tmp_path / "t.sqlite"
    fill(path, 300)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunFolderError, match=r"t\.sqlite"):
        SqlStore(path)


def test_a_changed_value_is_refused_with_its_trial(tmp_path: Path) -> None:
    """SQLite would not notice."""
    fill(tmp_path / "t.sqlite", 3)
    change(tmp_path / "t.sqlite", """UPDATE trials SET metrics = '{"top1_accuracy":0.9}' WHERE number = 1""")
    with SqlStore(tmp_path / "t.sqlite") as store:
        assert store.get(0) == make_trial(0)
        with pytest.raises(RunFolderError, match=r"trial 1 of study 'search' in .*t\.sqlite is damaged"):
            store.trials()


def test_flipped_bits_never_give_other_trials(tmp_path: Path) -> None:
    """60 flips all over the file: refused by name, or without effect on what is read."""
    path = tmp_path / "t.sqlite"
    fill(path, 200)
    good = path.read_bytes()
    expected = [make_trial(number) for number in range(200)]
    messages = []
    for position in range(5, len(good), len(good) // 60):
        path.write_bytes(good[:position] + bytes([good[position] ^ 16]) + good[position + 1 :])
        try:
            with SqlStore(path) as store:
                assert store.trials() == expected
        except RunFolderError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert all("t.sqlite" in message for message in messages)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """And closing twice is fine."""
    store = SqlStore(tmp_path / "t.sqlite")
    store.close()
    store.close()
    with pytest.raises(RunError, match="is closed"):
        store.add([make_trial(0)])


def test_a_study_needs_a_name(tmp_path: Path) -> None:
    """Nothing is created."""
    with pytest.raises(InvalidValueError, match="study"):
        SqlStore(tmp_path / "t.sqlite", "")
    assert not (tmp_path / "t.sqlite").exists()


def _add_some(path: Path, first: int) -> None:
    with SqlStore(path) as store:
        for number in range(first, first + 40):
            store.add([make_trial(number)])


def test_four_processes_write_at_once(tmp_path: Path) -> None:
    """None lost, none doubled, starting from no file."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_some, args=(tmp_path / "t.sqlite", 40 * worker)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    with SqlStore(tmp_path / "t.sqlite") as store:
        assert [trial.number for trial in store.trials()] == list(range(160))


_WRITER = """
import sys
from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Trial
from archwright.stores.sql import SqlStore

with SqlStore(sys.argv[1]) as store:
    for first in range(0, 10**9, 3):
        archs = [Candidate(n, Arch({"op": "conv"}), n) for n in (first, first + 1, first + 2)]
        store.add([Trial(candidate, metrics={"top1_accuracy": 0.5}) for candidate in archs])
        print(first + 3, flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.02, 0.11])
def test_kill_9_loses_nothing_that_was_added(tmp_path: Path, delay_s: float) -> None:
    """Every batch whose `add` returned is whole; no batch is there in part."""
    path = tmp_path / "t.sqlite"
    command = [sys.executable, "-c", _WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
        said = process.stdout.read().split()
    with SqlStore(path) as store:
        trials = store.trials()
    assert len(trials) >= int(said[-1] if said else 3)
    assert len(trials) % 3 == 0
    assert trials == [make_trial(number) for number in range(len(trials))]
