"""A SQLite file: made at once, looked at before it is used."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, inspect

from archwright.core.errors import RunFolderError
from archwright.stores.schema import VERSION, prepare_tables

COMPANIONS = ("-wal", "-journal")
"""What SQLite keeps beside a file while it is open, and after its process was killed: the newest changes."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def make_or_refuse(path: Path) -> None:
    """Make an empty database where there is none; an existing file stays as it is.

    The file appears with its tables inside or not at all, so a file without tables is none of ours, and of several
    processes that make it at once all use the one that came first.

    Raises:
        RunFolderError: If something else is there, or only what SQLite keeps beside a file.
    """
    # In this order: another process makes the file first and its companions afterwards.
    left = [name for name in (f"{path.name}{end}" for end in COMPANIONS) if _size(path.with_name(name))]
    if not os.path.lexists(path):
        if left:
            raise RunFolderError(
                f"{path} is missing, but its companion {left[0]} is there; restore the file from a copy, "
                f"or remove {left[0]} to start anew"
            )
        try:
            _make(path)
        except OSError as error:
            raise RunFolderError(f"{path} cannot be made: {error.strerror or error}") from error
    if not path.is_file():
        raise RunFolderError(f"{path} is no file; choose another path")
    if _size(path) == 0:
        raise RunFolderError(f"{path} is empty; restore it from a copy, or remove it to start anew")


def refuse_damaged_or_foreign(connection: Connection, name: str) -> None:
    """Check the whole file: that its tables are ours and SQLite finds no damage.

    Raises:
        RunFolderError: If it is damaged or not ours.
    """
    found = inspect(connection).get_table_names()
    if VERSION.name not in found:
        what = f"of something else (table {found[0]!r})" if found else "without any table"
        raise RunFolderError(f"{name} is a database {what}; choose another path")
    report = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    connection.rollback()
    if report != "ok":
        raise RunFolderError(f"{name} is damaged ({_one_line(report)}); restore it from a copy")


def set_up(connection: Connection, power_loss_safe: bool) -> None:
    """Choose the write-ahead log and how often the disk is waited for."""
    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if power_loss_safe else 'NORMAL'}")
    # Flushing 16 MB at a time instead of 4 adds a third to the rate of single trials.
    connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 4000")
    connection.commit()


def _make(path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        prepare_tables(connection, str(path))
        raw: Any = connection.connection.dbapi_connection
        data = bytearray(raw.serialize())
    engine.dispose()
    # The file format's read and write version, 2 for a write-ahead log: no process has to switch to it later, which
    # several at once cannot do.
    data[18:20] = b"\x02\x02"
    with _new_file(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without links; there, two processes must not make the same file at once.
            os.replace(temporary, path)


@contextmanager
def _new_file(path: Path, data: bytearray) -> Iterator[Path]:
    """A temporary file beside `path` with this content, on the disk; what the block does with it is flushed too."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _one_line(report: Any) -> str:
    return " ".join(str(report).split())
