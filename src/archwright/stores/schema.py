"""The tables trials live in, their version, and the way from an older version to this one.

To change the tables: change them here, append to `MIGRATIONS` a function that turns the last version into the new one,
and test it with a database of the last version. The functions run in one transaction that other processes wait for, so
a killed migration has not happened, and two processes that open an older database migrate it once.

Versions:
    1: the first.
    2: the checksum covers the study too, so that a row moved to another study is noticed; texts with NUL or half
       surrogate pairs come back as they were; the column `key`, which `arch` says already, is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateTable

from archwright.core.errors import RunFolderError
from archwright.stores.rows import COLUMNS, checksum, text_to_column

Migration = Callable[[Connection], None]
"""Turns the tables of one version into those of the next, rows included; raises ValueError if they are damaged."""

LONGEST_STUDY = 200

_CHUNK = 1000
_LOCK = 0x6172636877726967  # "archwrig": the number PostgreSQL's advisory lock goes by


def trials_table(name: str, metadata: MetaData) -> Table:
    """The table of trials in its newest version."""
    return Table(
        name,
        metadata,
        Column("study", String(LONGEST_STUDY), primary_key=True),
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("arch", Text, nullable=False),
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


_TABLES = MetaData()
TRIALS = trials_table("trials", _TABLES)
VERSION = Table(
    "archwright_schema",
    _TABLES,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)


def bring_up_to_date(
    connection: Connection,
    name: str,
    *,
    keep_copy: Callable[[int], None] = lambda version: None,
    migrations: Sequence[Migration] | None = None,
) -> None:
    """Make the tables where they are missing, or the newest version of them where they are older.

    Args:
        connection: With no transaction begun.
        name: Of the database, for errors.
        keep_copy: Called with the version of an older database while nothing in it can change, before it does.
        migrations: From version 1 on, one a version; `MIGRATIONS` by default.

    Raises:
        RunFolderError: If the database is of a newer version, holds tables of something else, or is damaged.
    """
    steps = MIGRATIONS if migrations is None else migrations
    newest = 1 + len(steps)
    if _version(connection, name, newest) != newest:
        connection.rollback()
        _lock(connection)
        # Another process may have made or migrated the tables while this one waited.
        version = _version(connection, name, newest)
        if version is None:
            _create(connection, newest)
        elif version < newest:
            keep_copy(version)
            _migrate(connection, name, version, steps)
        connection.commit()
    connection.rollback()


def _version(connection: Connection, name: str, newest: int) -> int | None:
    """The version of the tables, None if there are none."""
    tables = inspect(connection).get_table_names()
    if VERSION.name not in tables:
        if TRIALS.name in tables:
            raise RunFolderError(f"{name} has a table {TRIALS.name!r} of something else; choose another database")
        return None
    version: Any = connection.execute(select(VERSION.c.version)).scalar()
    if not isinstance(version, int) or version < 1:
        raise RunFolderError(f"{name} is damaged, its schema version is {version!r}; restore it from a copy")
    if version > newest:
        raise RunFolderError(
            f"{name} has schema version {version}; this archwright reads up to {newest}; use the version that wrote it"
        )
    return version


def _lock(connection: Connection) -> None:
    """Begin a transaction that no other process can be in at the same time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would begin none for table definitions
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _create(connection: Connection, version: int) -> None:
    connection.execute(CreateTable(VERSION))
    connection.execute(CreateTable(TRIALS))
    connection.execute(insert(VERSION).values(id=1, version=version))


def _migrate(connection: Connection, name: str, version: int, steps: Sequence[Migration]) -> None:
    try:
        for step in steps[version - 1 :]:
            step(connection)
    except ValueError as error:
        raise RunFolderError(
            f"{name} is damaged ({error}) and was left at schema version {version}; restore it from a copy"
        ) from error
    connection.execute(update(VERSION).values(version=1 + len(steps)))


def _to_version_2(connection: Connection) -> None:
    """Write every row anew with the study in its checksum, after checking the old one."""
    # The table as version 2 has it: once there is a version 3, this has to become a definition of its own.
    table = trials_table("trials_of_version_2", MetaData())
    connection.execute(CreateTable(table))
    names = ("study", "number", "arch", "key", *COLUMNS[3:])
    chunk = text(
        f"SELECT {', '.join(names)} FROM trials WHERE study > :study OR (study = :study AND number > :number) "
        "ORDER BY study, number LIMIT :n"
    )
    last: dict[str, Any] = {"study": "", "number": 0}
    while rows := connection.execute(chunk, {**last, "n": _CHUNK}).fetchall():
        connection.execute(insert(table), [_row_of_version_2(dict(zip(names, row, strict=True))) for row in rows])
        last = {"study": rows[-1][0], "number": rows[-1][1]}
    connection.exec_driver_sql("DROP TABLE trials")
    connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO trials")


def _row_of_version_2(row: dict[str, Any]) -> dict[str, Any]:
    values = tuple(value for name, value in row.items() if name not in ("study", "checksum"))
    if checksum(values) != row["checksum"]:
        raise ValueError(f"the checksum of trial {row['number']!r} of study {row['study']!r} does not match")
    new = {name: row[name] for name in COLUMNS[:-1]}
    new |= {name: text_to_column(row[name]) for name in ("origin", "failure")}
    return {**new, "checksum": checksum(tuple(new.values()))}


MIGRATIONS: tuple[Migration, ...] = (_to_version_2,)
"""From version n to n + 1 at place n - 1."""

SCHEMA_VERSION = 1 + len(MIGRATIONS)
