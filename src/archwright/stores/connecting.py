"""Connect to a database by path or URL: which are accepted, how they are shown, and what errors say."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from archwright.core.errors import InvalidValueError, MissingExtraError, RunFolderError

BUSY_TIMEOUT_S = 30.0
"""How long a write to SQLite waits for another process to finish its own."""

CONNECT_TIMEOUT_S = 10
SILENCE_S = 60
"""How long a database server may be silent before it counts as gone."""

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, UnicodeDecodeError)
"""Errors that a database and its driver raise; UnicodeDecodeError comes from sqlite3 if it quotes damaged text."""

_DRIVERS = {"sqlite": "sqlite", "sqlite+pysqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_DRIVERS |= {"postgres": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg"}


def database_url(where: str | Path) -> URL:
    """The URL of a database, its driver named.

    Args:
        where: Path of a SQLite file, or `sqlite:///PATH` or `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/NAME`.

    Raises:
        InvalidValueError: If it is neither; the message repeats no more of a URL than its scheme, for the sake of
            passwords.
    """
    if "\x00" in str(where):
        raise InvalidValueError("the name of the store holds a NUL character, as no path and no database URL does")
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(Path(where).absolute()))
    scheme = where.partition("://")[0]
    accepted = "write sqlite:///PATH or postgresql://USER@HOST:PORT/NAME"
    if scheme not in _DRIVERS:
        raise InvalidValueError(f"{scheme!r} is no kind of database trials can live in; {accepted}")
    try:
        url = make_url(where).set(drivername=_DRIVERS[scheme])
    except (ArgumentError, ValueError):  # a port that is no number is a plain ValueError
        raise InvalidValueError(f"the text behind {scheme}:// is no database URL; {accepted}") from None
    if "@" in (url.host or ""):  # a part of the password would be taken for the host, and shown
        raise InvalidValueError(f"the text behind {scheme}:// has two @; write %40 for one inside a password")
    if file_of(url) is None and is_sqlite(url) and url.database not in (None, "", ":memory:"):
        raise InvalidValueError(f"{url.database!r} is no path of a SQLite file; {accepted}")
    return url


def is_sqlite(url: URL) -> bool:
    """Whether the URL names a SQLite database."""
    return url.drivername == "sqlite"


def file_of(url: URL) -> Path | None:
    """The file of a SQLite database; None for one in memory and for a server."""
    if not is_sqlite(url) or url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        return None
    return Path(str(url.database)).absolute()


def shown(url: URL) -> str:
    """The URL as messages show it: without password and options."""
    if is_sqlite(url):
        return str(file_of(url) or ":memory:")
    host = url.host or url.query.get("host")
    plain = URL.create("postgresql", url.username, None, host if isinstance(host, str) else None, url.port)
    return plain.set(database=url.database).render_as_string()


def reason(error: BaseException, url: URL) -> str:
    """What a database error says, in one line and without the password."""
    if isinstance(error, UnicodeDecodeError):
        return "a text in it is damaged"
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    for secret in (url.password, *_texts(url.query.get("password")), *_texts(url.query.get("sslpassword"))):
        said = said.replace(str(secret), "***") if secret else said
    return said


def open_engine(url: URL) -> Engine:
    """A SQLAlchemy engine without a connection pool, since a store uses one connection.

    Raises:
        MissingExtraError: If the driver is not installed.
        RunFolderError: If the folder of a SQLite file cannot be made.
    """
    if is_sqlite(url):
        return create_engine(url, poolclass=NullPool, connect_args=_sqlite_options(file_of(url)))
    silence = {"keepalives_idle": SILENCE_S // 2, "keepalives_interval": SILENCE_S // 6, "keepalives_count": 3}
    options = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": SILENCE_S * 1000, **silence}
    given = {name: value for name, value in options.items() if name not in url.query}
    try:
        return create_engine(url, poolclass=NullPool, connect_args=given)
    except ImportError as error:
        raise MissingExtraError("a store in PostgreSQL", "postgresql") from error


def _sqlite_options(path: Path | None) -> dict[str, Any]:
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"folder {path.parent} cannot be made: {error.strerror or error}") from error
    return {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}


def _texts(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()
