"""The tables are made once, and those of another version are left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from archwright.core.errors import RunFolderError
from archwright.stores.rows import COLUMNS
from archwright.stores.schema import SCHEMA_VERSION, TRIALS, prepare_tables
from archwright.stores.sql import SqlStore
from archwright.testing.contracts.store import make_trial


def ask(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
    return found


def test_columns_are_those_of_a_row() -> None:
    """In the same order: rows go into the table by place."""
    assert tuple(TRIALS.columns.keys()) == COLUMNS


def test_a_new_database_says_its_version(tmp_path: Path) -> None:
    """In one row, however often it is opened."""
    for number in range(2):
        with SqlStore(tmp_path / "t.sqlite") as store:
            store.add([make_trial(number)])
    assert ask(tmp_path / "t.sqlite", "SELECT id, version FROM archwright_schema") == [(1, SCHEMA_VERSION)]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (1, r"t\.sqlite has schema version 1, of before archwright's first release; this archwright reads 2; choose"),
        (3, r"t\.sqlite has schema version 3; this archwright reads 2; use the version that wrote it"),
        *((found, r"t\.sqlite is damaged, its schema version is") for found in ("0", "-1", "'two'", "2.5", "NULL")),
    ],
)
def test_another_version_is_refused_and_kept(tmp_path: Path, found: int | str, message: str) -> None:
    """In one line, the file to the byte as it was; what was never a version is damage."""
    path = tmp_path / "t.sqlite"
    SqlStore(path).close()
    ask(path, "DROP TABLE archwright_schema")
    ask(path, "CREATE TABLE archwright_schema (id INTEGER PRIMARY KEY, version)")
    ask(path, f"INSERT INTO archwright_schema VALUES (1, {found})")
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match=message) as refused:
        SqlStore(path)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_preparing_twice_changes_nothing() -> None:
    """The second time there is nothing to do."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        for _ in range(2):
            prepare_tables(connection, "memory")
        rows = connection.exec_driver_sql("SELECT id, version FROM archwright_schema").fetchall()
        assert [tuple(row) for row in rows] == [(1, SCHEMA_VERSION)]
    engine.dispose()
