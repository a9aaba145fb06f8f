"""status.json: where a run is now, written by the run and read by anyone."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from archwright.core.errors import RunFolderError
from archwright.runs import files, lock, record
from archwright.runs.ledger import MAX_FIGURE
from archwright.runs.progress import Standing

FILE_NAME = "status.json"

_FIELDS = ("phase", "done", "total", "best", "figures", "time_left_s", "updated", "elapsed_s", "pid")


class StatusFile:
    """Writes status.json; everything in it is for people, except that the run is finished.

    Args:
        folder: The run's folder; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        before = {} if self._path is None else _read_or_empty(self._path)
        self._elapsed_before_s = _number(before.get("elapsed_s")) or 0.0
        self._opened_s = time.monotonic()
        self._standing: Standing | None = None
        self.result_digest: str | None = before.get("result_sha256") if before.get("state") == "finished" else None

    def write(self, standing: Standing) -> None:
        """The run is running, and there it stands."""
        self._standing = standing
        self.result_digest = None
        self._save("running", durable=False)

    def finish(self, result_digest: str) -> None:
        """The run is finished and result.json has this SHA-256."""
        self.result_digest = result_digest
        self._save("finished", durable=True)

    def _save(self, state: str, *, durable: bool) -> None:
        if self._path is None:
            return
        standing = self._standing or Standing("")
        document = {
            "format": 1,
            "state": state,
            "phase": standing.phase or None,
            "done": standing.done,
            "total": standing.total,
            "best": _finite(standing.figures.get("best")),
            "figures": {name: _finite(value) for name, value in standing.figures.items()},
            "time_left_s": 0.0 if state == "finished" else _finite(standing.time_left_s),
            "updated": record.utc_now(),
            "elapsed_s": round(self._elapsed_before_s + time.monotonic() - self._opened_s, 1),
            "pid": os.getpid(),
            "result_sha256": self.result_digest,
        }
        files.write_json(self._path, document, durable=durable)


def read_status(folder: Path | str) -> dict[str, Any]:
    """Where the run in a folder is; a running one is not disturbed.

    Returns:
        `state`: "finished", "running" (a live process holds the lock), "dead" (neither, so it can be resumed) or
        "empty" (nothing was started); `recipe`, `seed`, `started`; `phase`, `done`, `total`, `best`, `figures`,
        `time_left_s`, `updated` (UTC), `elapsed_s` (over all resumptions), `pid`. What is unknown is None.

    Raises:
        RunFolderError: If there is no such folder, it holds other things than a run, or run.json is damaged.
    """
    folder = Path(folder)
    try:
        is_folder = folder.is_dir()
    except OSError:  # too long a name, or closed to us
        is_folder = False
    if not is_folder:
        raise RunFolderError(f"{folder} is no folder; give the folder of a run (its --out)")
    is_locked = lock.holder(folder) is not None
    if not os.path.lexists(folder / record.FILE_NAME):
        if not is_fresh(folder):
            raise RunFolderError(f"{folder} holds no run: it has no run.json; give the folder of a run (its --out)")
        nothing = dict.fromkeys(("recipe", "seed", "started", *_FIELDS))
        return {"state": "running" if is_locked else "empty", **nothing}
    started = record.read_record(folder)
    written = _read_or_empty(folder / FILE_NAME)
    state = "finished" if written.get("state") == "finished" else "running" if is_locked else "dead"
    known = {name: started.get(name) for name in ("recipe", "seed", "started")}
    return {"state": state, **known, **{name: _of_its_kind(name, written.get(name)) for name in _FIELDS}}


def is_fresh(folder: Path) -> bool:
    """Whether a run may begin here: nothing but what one leaves behind that died before its run.json was there."""
    try:
        names = {path.name for path in folder.iterdir() if not files.is_leftover(path)}
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be listed: {error.strerror}; check its permissions") from error
    # A log alone may be anyone's; beside our lock it is ours.
    return not names or (lock.FILE_NAME in names and names <= {lock.FILE_NAME, "log.txt"})


def _read_or_empty(path: Path) -> dict[str, Any]:
    """The file's document; damaged or missing it counts as nothing known, since the next write replaces it."""
    try:
        document = files.read_json(path)
    except RunFolderError:
        return {}
    return document if isinstance(document, dict) else {}


def _of_its_kind(name: str, value: Any) -> Any:
    """A value of the file where it is what its name promises, else None: what is unknown."""
    if name in ("time_left_s", "elapsed_s"):
        return _number(value)
    if name in ("done", "total", "pid"):
        return value if type(value) is int and 0 <= value <= MAX_FIGURE else None
    if name == "figures":
        is_mapping = isinstance(value, dict)
        return {key: one if _is_figure(one) else None for key, one in value.items()} if is_mapping else None
    if name == "best":
        return value if _is_figure(value) else None
    return value if isinstance(value, str) else None


def _is_figure(value: Any) -> bool:
    return isinstance(value, str) or (type(value) in (int, float) and abs(value) <= sys.float_info.max)


def _finite(value: float | str | None) -> float | str | None:
    """JSON has no infinities, and a status is read by other programs."""
    if value is None or isinstance(value, str):
        return value
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= MAX_FIGURE else None
