"""A store in an SQL database: SQLite files by default, others by URL."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    create_engine,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.trial import Trial
from archwright.stores.base import Store, already_present, repeated_numbers
from archwright.stores.rows import COLUMNS, from_row, to_row

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 30.0
"""How long a write waits for another process to finish its own."""

_TABLES = MetaData()
_VERSION = Table(
    "archwright_schema",
    _TABLES,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)
_TRIALS = Table(
    "trials",
    _TABLES,
    Column("study", String(200), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("arch", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("budget", BigInteger),
    Column("parent", BigInteger),
    Column("origin", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("metrics", Text, nullable=False),
    Column("costs", Text, nullable=False),
    Column("duration_s", Double),
    Column("failure", Text, nullable=False),
    Column("checksum", BigInteger, nullable=False),
)
_INSERT = insert(_TRIALS)
_SELECT = select(*(_TRIALS.c[name] for name in COLUMNS))


class SqlStore(Store):
    """Trials of one study in a database; one object a process, any number of threads and processes.

    SQLite runs in write-ahead mode: what `add` returned from survives the death of the process; with
    `power_loss_safe` it survives the death of the machine too, at the price of one disk flush a call. (Without, the
    machine's death may lose the last trials; never part of one, never an earlier one.)

    Args:
        where: Path of a SQLite file, created with its folder if missing, or a SQLAlchemy URL.
        study: Name of the study; others in the same database stay untouched.
        power_loss_safe: Flush to the disk at each `add` (SQLite only; servers decide for themselves).

    Raises:
        RunFolderError: If the file is no database, is damaged, belongs to other software or to a newer archwright.
        InvalidValueError: If the URL cannot be understood or the study has no name.
    """

    def __init__(self, where: str | Path, study: str = "search", *, power_loss_safe: bool = False) -> None:
        if not 0 < len(study) <= 200:
            raise InvalidValueError(f"a study's name has 1 to 200 characters, not {len(study)}")
        url = _url(where)
        self.study = study
        self.name = url.database or ":memory:" if url.get_backend_name() == "sqlite" else url.render_as_string()
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._engine = _engine(url)
        self._connection: Connection | None = None
        with self._opening():
            self._connection = self._engine.connect()
            _prepare(self._connection, self.name, power_loss_safe)

    def add(self, trials: Sequence[Trial]) -> None:
        if twice := repeated_numbers(trials):
            raise already_present(twice, "this call")
        rows = [dict(zip(COLUMNS, to_row(trial), strict=True), study=self.study) for trial in trials]
        if not rows:
            return
        with self._lock, self._using() as connection:
            try:
                connection.execute(_INSERT, rows if len(rows) > 1 else rows[0])
                connection.commit()
            except IntegrityError as error:
                connection.rollback()
                taken = self._present(connection, [trial.number for trial in trials])
                if not taken:
                    raise RunError(f"{self.name} refused trial {trials[0].number}: {error.orig}") from error
                raise already_present(taken, f"study {self.study!r} of {self.name}") from None
            except DBAPIError as error:
                raise RunError(f"trial {trials[0].number} could not be written to {self.name}: {error.orig}") from error

    def get(self, number: int) -> Trial | None:
        found = self._read(_SELECT.where(_TRIALS.c.study == self.study, _TRIALS.c.number == number))
        return self._trial(found[0]) if found else None

    def trials(self) -> list[Trial]:
        ordered = _SELECT.where(_TRIALS.c.study == self.study).order_by(_TRIALS.c.number)
        return [self._trial(row) for row in self._read(ordered)]

    def __len__(self) -> int:
        counted = select(func.count()).select_from(_TRIALS).where(_TRIALS.c.study == self.study)
        return int(self._read(counted)[0][0])

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and os.getpid() == self._process:
                with suppress(DBAPIError):  # everything is committed; a failing clean-up loses nothing
                    self._connection.close()
                self._engine.dispose()
            self._connection = None

    def _read(self, statement: Select[Any]) -> list[tuple[Any, ...]]:
        with self._lock, self._using() as connection:
            try:
                rows = connection.execute(statement).fetchall()
                connection.rollback()
            except DBAPIError as error:
                raise RunFolderError(f"{self.name} cannot be read: {error.orig}; restore it from a copy") from error
        return [tuple(row) for row in rows]

    def _trial(self, row: tuple[Any, ...]) -> Trial:
        try:
            return from_row(row)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            where = f"trial {row[0]!r} of study {self.study!r} in {self.name}"
            raise RunFolderError(f"{where} is damaged ({error}); restore the file from a copy") from error

    def _present(self, connection: Connection, numbers: Sequence[int]) -> list[int]:
        stored = connection.execute(select(_TRIALS.c.number).where(_TRIALS.c.study == self.study)).scalars()
        taken = sorted(set(numbers).intersection(stored))
        connection.rollback()
        return taken

    @contextmanager
    def _using(self) -> Iterator[Connection]:
        """The connection; whatever goes wrong while it is used, Ctrl-C included, leaves no open transaction."""
        if self._connection is None:
            raise RunError(f"the store {self.name} is closed; open it again")
        if os.getpid() != self._process:
            raise RunError(f"the store {self.name} was opened in process {self._process}; open it again in this one")
        try:
            yield self._connection
        except BaseException:
            with suppress(DBAPIError):
                self._connection.rollback()
            raise

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            self.close()
            raise RunFolderError(f"{self.name} is not a database that can be used: {error.orig}") from error
        except BaseException:
            self.close()
            raise


def _url(where: str | Path) -> URL:
    if isinstance(where, Path) or "://" not in where:
        path = Path(where).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"folder {path.parent} cannot be made: {error.strerror}") from error
        return URL.create("sqlite", database=str(path))
    try:
        return make_url(where)
    except ArgumentError as error:
        raise InvalidValueError(
            f"{where!r} is no database URL; write sqlite:///PATH or postgresql://HOST/NAME"
        ) from error


def _engine(url: URL) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    options = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False} if is_sqlite else {}
    try:
        return create_engine(url, poolclass=NullPool, connect_args=options)
    except (NoSuchModuleError, ImportError) as error:
        raise InvalidValueError(f"no driver for the database {url.drivername!r} is installed: {error}") from error


def _prepare(connection: Connection, name: str, power_loss_safe: bool) -> None:
    """Set the connection up and make the tables where they are missing; a killed attempt leaves none or all."""
    if connection.dialect.name == "sqlite":
        _refuse_damaged_or_foreign(connection, name)
        _switch_to_wal(connection)
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if power_loss_safe else 'NORMAL'}")
        # Flushing 16 MB at a time instead of 4 adds a third to the rate of single trials.
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 4000")
        connection.commit()
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would begin no transaction for table definitions
    connection.execute(CreateTable(_VERSION, if_not_exists=True))
    version = connection.execute(select(_VERSION.c.version)).scalar()
    if version is None:
        connection.execute(insert(_VERSION).values(id=1, version=SCHEMA_VERSION))
        connection.execute(CreateTable(_TRIALS, if_not_exists=True))
    connection.commit()
    if version is not None and version != SCHEMA_VERSION:
        known = f"this archwright reads {SCHEMA_VERSION}"
        raise RunFolderError(f"{name} has schema version {version}; {known}; use the version that wrote it")


def _refuse_damaged_or_foreign(connection: Connection, name: str) -> None:
    found = inspect(connection).get_table_names()
    if found and _VERSION.name not in found:
        raise RunFolderError(f"{name} is a database of something else (table {found[0]!r}); choose another path")
    report = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    connection.rollback()
    if report != "ok":
        raise RunFolderError(f"{name} is damaged ({report}); restore it from a copy")


def _switch_to_wal(connection: Connection) -> None:
    # SQLite does not wait for its busy timeout here when several processes open a new file at once.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return
        except OperationalError as error:
            connection.rollback()
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
