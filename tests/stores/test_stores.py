"""What every store promises, for the one in memory and the one in SQLite; and which of them a name opens."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from archwright.core.errors import InvalidValueError
from archwright.stores import MemoryStore, Store, open_store
from archwright.stores.sql import SqlStore
from archwright.testing import StoreContract
from archwright.testing.contracts.store import make_trial


class TestMemoryStore(StoreContract):
    is_durable = False

    def make(self, folder: Path, study: str) -> Store:
        return MemoryStore()


class TestSqlStore(StoreContract):
    def make(self, folder: Path, study: str) -> Store:
        return SqlStore(folder / "trials.sqlite", study)

    def write_future_format(self, folder: Path) -> None:
        with sqlite3.connect(folder / "trials.sqlite") as connection:
            connection.execute("UPDATE archwright_schema SET version = 99")
        connection.close()


def test_open_store_by_what_is_named(tmp_path: Path) -> None:
    """None is memory, a store is itself, a folder holds trials.sqlite, a file and a URL are that file."""
    assert isinstance(open_store(None), MemoryStore)
    memory = MemoryStore()
    assert open_store(memory) is memory
    with open_store(tmp_path / "run") as in_folder:
        in_folder.add([make_trial(0)])
    with open_store(tmp_path / "run" / "trials.sqlite") as by_file:
        assert by_file.get(0) == make_trial(0)
    with open_store(f"sqlite:///{tmp_path}/run/trials.sqlite") as by_url:
        assert by_url.get(0) == make_trial(0)
    with open_store(str(tmp_path / "other.db")):
        assert (tmp_path / "other.db").is_file()


def test_a_folder_may_be_called_like_a_file(tmp_path: Path) -> None:
    """What exists counts more than the suffix."""
    (tmp_path / "run.db").mkdir()
    with open_store(tmp_path / "run.db"):
        assert (tmp_path / "run.db" / "trials.sqlite").is_file()


@pytest.mark.parametrize("where", ["", "nosuch://host/db", "://"])
def test_open_store_refuses_what_names_nothing(where: str) -> None:
    """One line, no traceback of SQLAlchemy's."""
    with pytest.raises(InvalidValueError):
        open_store(where)
