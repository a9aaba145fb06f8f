"""What only a database can get wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunError
from archwright.core.trial import Candidate, Trial
from archwright.stores.sql import SqlStore


def make_trial(number: int) -> Trial:
    return Trial(Candidate(number, Arch({"op": "conv"}), number), metrics={"top1_accuracy": 0.5})


def fill(path: Path, n: int) -> None:
    with SqlStore(path) as store:
        store.add([make_trial(number) for number in range(n)])


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


def test_a_full_disk_fails_one_call(tmp_path: Path) -> None:
    """RunError that says so, none of the batch is kept, what was there stays; with room again the store goes on."""
    with SqlStore(tmp_path / "t.sqlite") as store:
        store.add([make_trial(0)])
        assert store._sqlite is not None
        store._sqlite.execute("PRAGMA max_page_count = 8")
        with pytest.raises(RunError, match=r"trial 1 could not be written to .*t\.sqlite: database or disk is full"):
            store.add([make_trial(number) for number in range(1, 500)])
        assert store.trials() == [make_trial(0)]
        store._sqlite.execute("PRAGMA max_page_count = 1000")
        store.add([make_trial(1)])
        assert len(store) == 2


def test_a_file_others_keep_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time a write waits, RunError; afterwards the store goes on."""
    monkeypatch.setattr("archwright.stores.connecting.BUSY_TIMEOUT_S", 0.05)
    with SqlStore(tmp_path / "t.sqlite") as store, closing(sqlite3.connect(tmp_path / "t.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunError, match=r"trial 0 could not be written to .*t\.sqlite: database is locked"):
            store.add([make_trial(0)])
        assert store.trials() == []
        other.rollback()
        store.add([make_trial(0)])
        assert len(store) == 1
