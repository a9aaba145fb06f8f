"""Open a store by what the user gives: nothing, a folder, a file, a database URL or a store."""

from __future__ import annotations

from pathlib import Path

from archwright.core.errors import InvalidValueError
from archwright.stores.base import Store
from archwright.stores.memory import MemoryStore

FILE_NAME = "trials.sqlite"
"""Name of the database inside a run's folder."""

_SUFFIXES = (".sqlite", ".sqlite3", ".db")


def open_store(where: str | Path | Store | None, study: str = "search") -> Store:
    """A store for one study.

    Args:
        where: None keeps trials in memory; a folder means its `trials.sqlite`; a path ending in `.sqlite`,
            `.sqlite3` or `.db` means that file; text with `://` is a database URL (`sqlite:///a.db`,
            `postgresql://USER@HOST:PORT/NAME`); a store is returned as it is.
        study: Which of the studies in a database; ignored where there is none.

    Raises:
        InvalidValueError: If `where` is empty text or no URL of a database we know.
        MissingExtraError: If it is PostgreSQL and the driver is not installed.
        RunFolderError: If the database cannot be opened, is damaged, or is not ours.
    """
    if isinstance(where, Store):
        return where
    if where is None:
        return MemoryStore()
    if not str(where):
        raise InvalidValueError(
            "the store is named by empty text; give a folder, a .sqlite file, a database URL or None"
        )
    # SQLAlchemy takes a quarter of a second to import, which a run in memory need not pay.
    from archwright.stores.sql import SqlStore

    if isinstance(where, str) and "://" in where:
        return SqlStore(where, study)
    path = Path(where)
    is_file = path.suffix.lower() in _SUFFIXES and not path.is_dir()
    return SqlStore(path if is_file else path / FILE_NAME, study)
