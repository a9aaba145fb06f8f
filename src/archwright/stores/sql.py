"""A store in an SQL database: a SQLite file or a PostgreSQL server."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Select, func, insert, select
from sqlalchemy.exc import IntegrityError

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import Trial
from archwright.stores import sqlite_file
from archwright.stores.base import Store, already_present, repeated_numbers
from archwright.stores.connecting import (
    DATABASE_ERRORS,
    database_url,
    file_of,
    is_sqlite,
    open_engine,
    reason,
    shown,
)
from archwright.stores.rows import COLUMNS, Row, from_row, to_row
from archwright.stores.schema import LONGEST_STUDY, TRIALS, prepare_tables

_SQLITE_INSERT = f"INSERT INTO trials ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_SELECT = select(*(TRIALS.c[name] for name in COLUMNS))


class SqlStore(Store):
    """Trials of one study in a database, for any number of threads and processes; each process has its own object.

    SQLite runs in write-ahead mode: the trials of an `add` that returned survive the death of the process. With
    `power_loss_safe` they survive a power loss too, at the cost of one disk flush for each call. (Without it a power
    loss may lose the last trials, but never part of a trial and never an earlier one.) What PostgreSQL keeps depends
    on its settings. If its server goes away, the current call raises RunError, and its trials are all stored or none;
    the next call connects again.

    Damage is refused with a clear message when the database is opened or the damaged trial is read: each row has a
    checksum over its study, number and values. Missing rows are not noticed if the database has no trace of them:
    rows deleted with SQL, and the last ones if the `-wal` file is damaged or removed. A search evaluates these again.

    A database of another schema version is refused.

    Args:
        where: Path of a SQLite file, created with its folder if missing, or a URL: `sqlite:///PATH` or
            `postgresql://USER:PASSWORD@HOST:PORT/NAME` (needs the extra `postgresql`). No message has the password.
        study: Name of the study; others in the same database stay untouched.
        power_loss_safe: Flush to the disk at each `add` (SQLite only).

    Raises:
        RunFolderError: If the database cannot be reached, is damaged, belongs to other software or to a newer
            archwright.
        InvalidValueError: If the URL or the name of the study is not accepted.
        MissingExtraError: If the driver of PostgreSQL is not installed.
    """

    def __init__(self, where: str | Path, study: str = "search", *, power_loss_safe: bool = False) -> None:
        if not (0 < len(study) <= LONGEST_STUDY and study.isprintable()):
            raise InvalidValueError(
                f"a study's name has 1 to {LONGEST_STUDY} printable characters, not {study[:250]!r}"
            )
        self.study = study
        self._url = database_url(where)
        self.name = shown(self._url)
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._engine = open_engine(self._url)
        self._connection: Connection | None = None
        self._sqlite: sqlite3.Connection | None = None
        with self._opening():
            self._prepare(power_loss_safe)

    def add(self, trials: Sequence[Trial]) -> None:
        if twice := repeated_numbers(trials):
            raise already_present(twice, "this call")
        # In number order, so that two processes on a server never wait for each other.
        rows = sorted((to_row(trial, self.study) for trial in trials), key=lambda row: row[1])
        if not rows:
            return
        with self._using(f"trial {rows[0][1]} could not be written to {self.name}") as connection:
            try:
                self._insert(connection, rows)
                return
            except (IntegrityError, sqlite3.IntegrityError):
                connection.rollback()
                taken = self._present(connection, [row[1] for row in rows])
                if not taken:  # some other rule of the tables
                    raise
        raise already_present(taken, f"study {self.study!r} of {self.name}")

    def get(self, number: int) -> Trial | None:
        found = self._read(_SELECT.where(TRIALS.c.study == self.study, TRIALS.c.number == number))
        return self._trial(found[0]) if found else None

    def trials(self) -> list[Trial]:
        ordered = _SELECT.where(TRIALS.c.study == self.study).order_by(TRIALS.c.number)
        return [self._trial(row) for row in self._read(ordered)]

    def __len__(self) -> int:
        counted = select(func.count()).select_from(TRIALS).where(TRIALS.c.study == self.study)
        return int(self._read(counted)[0][0])

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and os.getpid() == self._process:
                with suppress(*DATABASE_ERRORS):  # everything is committed; a failing clean-up loses nothing
                    self._connection.close()
                self._engine.dispose()
            self._connection = self._sqlite = None

    def _prepare(self, power_loss_safe: bool) -> None:
        path = file_of(self._url)
        if path is not None:
            sqlite_file.make_or_refuse(path)
        self._connection = connection = self._engine.connect()
        if path is not None:
            sqlite_file.refuse_damaged_or_foreign(connection, self.name)
        prepare_tables(connection, self.name)
        if path is None:
            return
        sqlite_file.set_up(connection, power_loss_safe)
        self._sqlite = cast(sqlite3.Connection, connection.connection.dbapi_connection)

    def _read(self, statement: Select[Any]) -> list[Row]:
        refusal = RunFolderError if is_sqlite(self._url) else RunError
        with self._using(f"{self.name} cannot be read", refusal) as connection:
            rows = connection.execute(statement).fetchall()
            connection.rollback()
        return [tuple(row) for row in rows]

    def _trial(self, row: Row) -> Trial:
        try:
            return from_row(row)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            where = f"trial {row[1]!r} of study {self.study!r} in {self.name}"
            raise RunFolderError(f"{where} is damaged ({error}); restore it from a copy") from error

    def _insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        if self._sqlite is None:
            connection.execute(insert(TRIALS), [dict(zip(COLUMNS, row, strict=True)) for row in rows])
            connection.commit()
            return
        # Straight to the driver: SQLAlchemy's own part would be a fifth of the time of a single trial.
        try:
            self._sqlite.executemany(_SQLITE_INSERT, rows)
            self._sqlite.commit()
        except BaseException:
            with suppress(*DATABASE_ERRORS):
                self._sqlite.rollback()
            raise

    def _present(self, connection: Connection, numbers: Sequence[int]) -> list[int]:
        stored = connection.execute(select(TRIALS.c.number).where(TRIALS.c.study == self.study)).scalars()
        taken = sorted(set(numbers).intersection(stored))
        connection.rollback()
        return taken

    @contextmanager
    def _using(self, failure: str, refusal: type[RunError] | type[RunFolderError] = RunError) -> Iterator[Connection]:
        """The connection; whatever goes wrong while it is used, Ctrl-C included, leaves no open transaction."""
        with self._lock:
            if self._connection is None:
                raise RunError(f"the store {self.name} is closed; open it again")
            if os.getpid() != self._process:
                raise RunError(
                    f"the store {self.name} was opened in process {self._process}; open it again in this one"
                )
            try:
                yield self._connection
            except BaseException as error:
                with suppress(*DATABASE_ERRORS):
                    self._connection.rollback()
                if isinstance(error, DATABASE_ERRORS):
                    raise refusal(f"{failure}: {reason(error, self._url)}") from error
                raise

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except DATABASE_ERRORS as error:
            self.close()
            raise RunFolderError(
                f"{self.name} is not a database that can be used: {reason(error, self._url)}"
            ) from error
        except BaseException:
            self.close()
            raise
