"""Older databases become newer ones, all at once or not at all."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from archwright.core.errors import RunFolderError
from archwright.stores.rows import COLUMNS
from archwright.stores.schema import MIGRATIONS, SCHEMA_VERSION, TRIALS, bring_up_to_date
from archwright.stores.sql import SqlStore
from archwright.stores.sqlite_file import copy_of_version
from archwright.testing.contracts.store import make_trial


def ask(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
    return found


def version(path: Path) -> int:
    return int(ask(path, "SELECT version FROM archwright_schema")[0][0])


def add_note(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE trials ADD COLUMN note TEXT")


def fill_note(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE trials SET note = 'n' || number")


def test_columns_are_those_of_a_row() -> None:
    """In the same order: rows go into the table by place."""
    assert tuple(TRIALS.columns.keys()) == COLUMNS


def test_version_1_is_migrated(tmp_path: Path, version_1: Any) -> None:
    """Every trial of every study is read as it was, and adding goes on; the next opening finds the new version."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)
    for study, trials in version_1.trials.items():
        with SqlStore(path, study) as store:
            assert repr(store.trials()) == repr(trials)
    assert version(path) == SCHEMA_VERSION == 2
    with SqlStore(path) as store:
        store.add([make_trial(2)])
        assert store.get(2) == make_trial(2)
    assert [row[1] for row in ask(path, "PRAGMA table_info(trials)")] == list(COLUMNS)


def test_the_older_version_is_kept_beside(tmp_path: Path, version_1: Any) -> None:
    """As a database of its own, the changes in the write-ahead log included."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)
    before = ask(path, "SELECT * FROM trials")
    with closing(sqlite3.connect(path)) as open_elsewhere:  # so that the log is not yet in the file
        open_elsewhere.execute("INSERT INTO trials SELECT 'copy', number, arch, key, seed, budget, parent, origin, "
            "status, metrics, costs, duration_s, failure, checksum FROM trials WHERE study = 'search'")  # fmt: skip
        open_elsewhere.commit()
        SqlStore(path).close()
    kept = copy_of_version(path, 1)
    assert kept == tmp_path / "t.sqlite.version-1"
    assert version(kept) == 1
    assert ask(kept, "SELECT * FROM trials WHERE study <> 'copy'") == before
    assert len(ask(kept, "SELECT * FROM trials")) == len(before) + 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.sqlite", "t.sqlite.version-1"]


def test_many_rows_are_migrated(tmp_path: Path, version_1: Any) -> None:
    """More than go through memory at a time."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)
    ask(path, "DELETE FROM trials WHERE number > 0 OR study = 'search'")
    columns = "arch, key, seed, budget, parent, origin, status, metrics, costs, duration_s, failure, checksum"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
    ask(path, f"{numbers} INSERT INTO trials SELECT 'many' || i, 0, {columns} FROM n, trials")
    with SqlStore(path, "many2500") as store:
        assert [trial.failure for trial in store.trials()] == ["\x01json:"]
    assert ask(path, "SELECT count(*) FROM trials") == [(2501,)]


def test_a_damaged_row_stops_the_migration(tmp_path: Path, version_1: Any) -> None:
    """By name; the database stays at version 1, to the byte."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)
    ask(path, "UPDATE trials SET seed = 4 WHERE study = 'search' AND number = 1")
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match=r"t\.sqlite is damaged \(the checksum of trial 1 of study 'search' does"):
        SqlStore(path)
    assert path.read_bytes() == before
    assert version(path) == 1


def test_steps_run_in_order_from_the_version_found(tmp_path: Path) -> None:
    """A database of version 2 under two further steps runs these two, once."""
    path = tmp_path / "t.sqlite"
    with SqlStore(path) as store:
        store.add([make_trial(7)])
    steps = (*MIGRATIONS, add_note, fill_note)
    for _ in range(2):
        with SqlStore(path, migrations=steps) as store:
            assert store.trials() == [make_trial(7)]
    assert ask(path, "SELECT note FROM trials") == [("n7",)]
    assert version(path) == 4
    with pytest.raises(RunFolderError, match=r"t\.sqlite has schema version 4; this archwright reads up to 2"):
        SqlStore(path)


def test_a_failing_step_undoes_all(tmp_path: Path, version_1: Any) -> None:
    """The steps before it as well, table definitions included."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)

    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(RunFolderError, match="no such table: nowhere"):
        SqlStore(path, migrations=(*MIGRATIONS, add_note, fail))
    assert version(path) == 1
    assert "key" in [row[1] for row in ask(path, "PRAGMA table_info(trials)")]
    assert ask(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'trials%'") == [("trials",)]


@pytest.mark.parametrize("found", ["0", "-1", "'two'", "2.5"])
def test_a_version_that_never_was(tmp_path: Path, found: str) -> None:
    """Refused as damage."""
    SqlStore(tmp_path / "t.sqlite").close()
    ask(tmp_path / "t.sqlite", f"UPDATE archwright_schema SET version = {found}")
    with pytest.raises(RunFolderError, match=r"t\.sqlite is damaged, its schema version is"):
        SqlStore(tmp_path / "t.sqlite")


def test_no_room_for_the_copy(tmp_path: Path, version_1: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a copy there is no migration."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunFolderError, match=r"no copy of it .* No space left on device"):
        SqlStore(path)
    assert version(path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.sqlite"]


_KILLED = """
import os, signal, sys
from archwright.stores.schema import MIGRATIONS
from archwright.stores.sql import SqlStore

def die(connection):
    os.kill(os.getpid(), signal.SIGKILL)

SqlStore(sys.argv[1], migrations=(*MIGRATIONS, die))
"""


def test_a_killed_migration_has_not_happened(
    tmp_path: Path, version_1: Any, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """kill -9 after a step: the database is of version 1, and the next opening migrates it."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)
    assert run_python("-c", _KILLED, str(path)).returncode == -signal.SIGKILL
    assert version(path) == 1
    with SqlStore(path) as store:
        assert repr(store.trials()) == repr(version_1.trials["search"])


def test_several_open_an_older_database_at_once(tmp_path: Path, version_1: Any) -> None:
    """One migrates, the others wait; all read the same."""
    path = tmp_path / "t.sqlite"
    version_1.write(path)
    together = threading.Barrier(8)
    found: list[str] = []

    def open_and_read() -> None:
        together.wait()
        with SqlStore(path) as store:
            found.append(repr(store.trials()))

    threads = [threading.Thread(target=open_and_read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [repr(version_1.trials["search"])] * 8


def test_preparing_twice_changes_nothing() -> None:
    """The second time there is nothing to do."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        for _ in range(2):
            bring_up_to_date(connection, "memory")
        rows = connection.exec_driver_sql("SELECT id, version FROM archwright_schema").fetchall()
        assert [tuple(row) for row in rows] == [(1, SCHEMA_VERSION)]
    engine.dispose()
