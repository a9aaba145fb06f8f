"""The lock of a run's folder; the operating system keeps it and frees it when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
import time
import weakref
from pathlib import Path

from archwright.core.errors import RunFolderError

FILE_NAME = "run.lock"
PATIENCE_S = 0.5
"""How long to wait for the lock: a process that reads the status may hold it for a moment."""


class FolderLock:
    """An exclusive lock on a folder, held from construction to `release` or the end of the process.

    Forked processes do not inherit it: a worker that outlives a killed run must not block the run's resumption.

    Raises:
        RunFolderError: If another process (or another run of this one) holds it, or the file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._descriptor: int | None = self._take()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        _held.add(self)
        _register()

    def release(self) -> None:
        """Free the lock; twice is fine. The file stays, since deleting it could free a lock taken meanwhile."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _held.discard(self)

    def _take(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            descriptor = _open(self._path, os.O_RDWR | os.O_CREAT)
            try:
                if _try_lock(descriptor, self._path, shared=False):
                    if _is_current(descriptor, self._path):
                        taken, descriptor = descriptor, -1
                        return taken
                elif time.monotonic() > deadline:
                    raise in_use(self._path.parent, _pid(descriptor))
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            time.sleep(0.02)


def holder(folder: Path) -> str | None:
    """The process id that holds the folder's lock ("unknown" if it did not say), None if nobody does.

    The check takes a shared lock for a moment, which does not disturb the holder.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    descriptor = _open(path, os.O_RDONLY)
    try:
        return None if _try_lock(descriptor, path, shared=True) else _pid(descriptor)
    finally:
        os.close(descriptor)


def in_use(folder: Path, pid: str) -> RunFolderError:
    """The error for a folder that the process with this id has locked."""
    return RunFolderError(f"{folder} is in use by process {pid}; wait for it to end or choose another folder")


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()
_is_registered = False


def _register() -> None:
    global _is_registered
    if not _is_registered:
        os.register_at_fork(after_in_child=_close_in_child)
        _is_registered = True


def _close_in_child() -> None:
    # Closing the child's copy leaves the parent's lock alone; it lasts until every copy is closed.
    for lock in list(_held):
        lock.release()


def _open(path: Path, flags: int) -> int:
    try:
        # a pipe of that name must not make us wait for its other end
        return os.open(path, flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be opened: {error.strerror}; check the folder's permissions") from error


def _try_lock(descriptor: int, path: Path, *, shared: bool) -> bool:
    if sys.platform == "win32":
        raise RunFolderError(
            f"{path.parent} cannot be locked: runs in a folder need Linux or macOS; leave the folder out"
        )
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise RunFolderError(f"{path} cannot be locked: {error.strerror}; choose a folder on a local disk") from error
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the locked file is still the one at that path; a lock on a deleted file locks nothing."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _pid(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace")
    return text if text.isdigit() else "unknown"
