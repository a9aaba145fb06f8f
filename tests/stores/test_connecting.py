"""Which databases are accepted, how they are called, and what stays secret."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from archwright.core.errors import InvalidValueError, MissingExtraError, RunFolderError
from archwright.stores import open_store
from archwright.stores.connecting import database_url, reason, shown
from archwright.stores.sql import SqlStore


@pytest.mark.parametrize(
    ("where", "driver"),
    [
        ("postgresql://h/d", "postgresql+psycopg"),
        ("postgres://h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg"),
        ("sqlite:///a.db", "sqlite"),
        ("runs/a.sqlite", "sqlite"),
        (Path("a.sqlite"), "sqlite"),
    ],
)
def test_drivers(where: str | Path, driver: str) -> None:
    """PostgreSQL goes by psycopg 3, under its plain name too."""
    assert database_url(where).drivername == driver


@pytest.mark.parametrize(
    "where",
    [
        "mysql://u:s3cret@h/d",
        "postgresql+pg8000://u:s3cret@h/d",
        "postgresql://u:s3cret@h:port/d",
        "postgresql://u:s3cret@h:99999999/d",
        "postgresql://u:s3cret@[h",
        "postgresql://u:half@s3cret@h/d",
        "://s3cret",
        "sqlite:///file:s3cret?uri=true",
        "s3cret\x00",
        "postgresql://u:s3cret@h/\x00",
    ],
)
def test_what_is_refused(where: str) -> None:
    """One line that says what is accepted; of a URL it repeats the scheme alone."""
    with pytest.raises((InvalidValueError, RunFolderError)) as caught:
        SqlStore(where)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value) or "postgres" not in where


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("postgresql://ann:s3cret@host:5432/trials", "postgresql://ann@host:5432/trials"),
        ("postgresql://ann@/trials?host=/run/db&password=s3cret", "postgresql://ann@"),
        ("postgresql+psycopg://host/trials", "postgresql://host/trials"),
        ("sqlite:////data/t.sqlite", "/data/t.sqlite"),
        ("sqlite://", ":memory:"),
    ],
)
def test_names(where: str, name: str) -> None:
    """User, host, port and database; never a password or an option."""
    assert shown(database_url(where)).startswith(name)
    assert "s3cret" not in shown(database_url(where))


@pytest.mark.parametrize(
    "where",
    ["postgresql://u:s3%20cret@h/d", "postgresql://h/d?password=s3%20cret", "postgresql://h/d?sslpassword=s3+cret"],
)
def test_what_the_database_says_is_told_without_the_password(where: str) -> None:
    """And in one line."""
    error = OperationalError("SELECT 1", None, Exception('bad option "s3 cret"\n\tin the string'))
    assert reason(error, database_url(where)) == 'bad option "***" in the string'


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("psycopg"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'archwright\[postgresql\]'"):
        open_store("postgresql://host/trials")


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    """The folder of a database cannot be made where a file is."""
    (tmp_path / "runs").write_text("notes")
    with pytest.raises(RunFolderError, match=r"folder .*runs cannot be made: "):
        SqlStore(tmp_path / "runs" / "t.sqlite")


def test_memory_by_url() -> None:
    """sqlite:// is a database that ends with its store."""
    with open_store("sqlite://") as store:
        assert store.trials() == []
