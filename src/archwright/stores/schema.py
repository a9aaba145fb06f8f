"""The tables trials live in, and their version.

The version is kept in the database, so that an archwright that would misread the tables refuses them. Versions:
    1: of before the first release, its checksums without the study; refused, as nothing reads it any more.
    2: that of today.
"""

from __future__ import annotations

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
)
from sqlalchemy.schema import CreateTable

from archwright.core.errors import RunFolderError

SCHEMA_VERSION = 2
LONGEST_STUDY = 200

_LOCK = 0x6172636877726967  # "archwrig": the number PostgreSQL's advisory lock goes by

_TABLES = MetaData()
TRIALS = Table(
    "trials",
    _TABLES,
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
VERSION = Table(
    "archwright_schema",
    _TABLES,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)


def prepare_tables(connection: Connection, name: str) -> None:
    """Make the tables where they are missing; one process does, others that open the database meanwhile wait.

    Args:
        connection: With no transaction begun.
        name: Of the database, for errors.

    Raises:
        RunFolderError: If the database is of another version, holds tables of something else, or is damaged.
    """
    if not _are_there(connection, name):
        connection.rollback()
        _lock(connection)
        if not _are_there(connection, name):  # another process may have made them while this one waited
            connection.execute(CreateTable(VERSION))
            connection.execute(CreateTable(TRIALS))
            connection.execute(insert(VERSION).values(id=1, version=SCHEMA_VERSION))
        connection.commit()
    connection.rollback()


def _are_there(connection: Connection, name: str) -> bool:
    """Whether the tables are there; raises if they are not those of this version."""
    tables = inspect(connection).get_table_names()
    if VERSION.name not in tables:
        if TRIALS.name in tables:
            raise RunFolderError(f"{name} has a table {TRIALS.name!r} of something else; choose another database")
        return False
    version: Any = connection.execute(select(VERSION.c.version)).scalar()
    if not isinstance(version, int) or version < 1:
        raise RunFolderError(f"{name} is damaged, its schema version is {version!r}; restore it from a copy")
    if version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{name} has schema version {version}; this archwright reads {SCHEMA_VERSION}; "
            "use the version that wrote it"
        )
    if version < SCHEMA_VERSION:
        raise RunFolderError(
            f"{name} has schema version {version}, of before archwright's first release; this archwright reads "
            f"{SCHEMA_VERSION}; choose another database, or remove this one to start anew"
        )
    return True


def _lock(connection: Connection) -> None:
    """Begin a transaction that no other process can be in at the same time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would begin none for table definitions
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
