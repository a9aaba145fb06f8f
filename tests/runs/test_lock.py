"""Who may write to a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archwright.core.errors import RunFolderError
from archwright.runs.lock import FILE_NAME, FolderLock, holder

_HOLDER = """
import os, sys, time
from pathlib import Path
from archwright.runs.lock import FolderLock

lock = FolderLock(Path(sys.argv[1]))
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""


def test_exclusive_until_released(tmp_path: Path) -> None:
    """The second taker is told the holder's process id."""
    lock = FolderLock(tmp_path)
    with pytest.raises(RunFolderError, match=f"in use by process {os.getpid()};"):
        FolderLock(tmp_path)
    assert holder(tmp_path) == str(os.getpid())
    lock.release()
    lock.release()
    assert holder(tmp_path) is None
    FolderLock(tmp_path).release()


def test_asking_creates_nothing(tmp_path: Path) -> None:
    """A folder without a lock file is free."""
    assert holder(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_deleted_lock_file_is_not_trusted(tmp_path: Path) -> None:
    """After a release, a new file is made and locked."""
    FolderLock(tmp_path).release()
    (tmp_path / FILE_NAME).unlink()
    lock = FolderLock(tmp_path)
    assert holder(tmp_path) == str(os.getpid())
    lock.release()


def test_kill_9_frees_it_although_a_forked_child_lives(tmp_path: Path) -> None:
    """A worker left behind by a killed run does not block its resumption."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert holder(tmp_path) == str(process.pid)
            process.kill()
            process.wait()
            deadline = time.monotonic() + 5
            while holder(tmp_path) is not None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert holder(tmp_path) is None
            os.kill(child, 0)  # it still lives
        finally:
            os.kill(child, signal.SIGKILL)
