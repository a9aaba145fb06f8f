"""status.json: how far a run is now; the run writes it, anyone may read it."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archwright.core.errors import RunFolderError
from archwright.runs import files, lock, record
from archwright.runs.ledger import MAX_FIGURE
from archwright.runs.progress import Standing

FILE_NAME = "status.json"
RESULT = "result.json"
CHOICE = "choice.json"

_MADE = re.compile(r"([\w-][\w.-]*/){0,3}[\w-][\w.-]*")
_FIELDS = ("phase", "done", "total", "best", "figures", "time_left_s", "updated", "elapsed_s", "pid")


@dataclass(frozen=True)
class Finished:
    """What a finished run left, so that later damage to it is noticed.

    Attributes:
        result_sha256: SHA-256 of result.json.
        files_sha256: SHA-256 of each file that is made for the user, by name.
        n_trials: Number of trials of each study.
    """

    result_sha256: str
    files_sha256: dict[str, str]
    n_trials: dict[str, int]


class StatusFile:
    """Writes status.json; programs rely only on the mark that the run is finished, the rest is for people.

    Args:
        folder: The run's folder; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        before = {} if self._path is None else _read_or_empty(self._path)
        self._elapsed_before_s = _number(before.get("elapsed_s")) or 0.0
        self._opened_s = time.monotonic()
        self._standing: Standing | None = None
        self.finished = _finished(before)

    def write(self, standing: Standing) -> None:
        """Write that the run is running, and how far it is."""
        self._standing = standing
        self.finished = None
        self._save("running", durable=False)

    def finish(self, finished: Finished) -> None:
        """Write that the run is finished, and what it left."""
        self.finished = finished
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
            **({} if self.finished is None else asdict(self.finished)),
        }
        files.write_sealed_json(self._path, document, durable=durable)


def read_status(folder: Path | str) -> dict[str, Any]:
    """How far the run in a folder is; reading does not disturb a running one.

    Returns:
        `state`: "finished", "running" (a live process holds the lock), "dead" (neither, so it can be resumed) or
        "empty" (nothing was started); `recipe`, `seed`, `started`; `phase`, `done`, `total`, `best`, `figures`,
        `time_left_s`, `updated` (UTC), `elapsed_s` (over all resumptions), `pid`. What is unknown is None.

    Raises:
        RunFolderError: If there is no such folder, it is not a run's, or run.json is damaged.
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
    state = "finished" if _holds_result(folder, _finished(written)) else "running" if is_locked else "dead"
    known = {name: started.get(name) for name in ("recipe", "seed", "started")}
    return {"state": state, **known, **{name: _of_its_kind(name, written.get(name)) for name in _FIELDS}}


def check_products(folder: Path) -> None:
    """Refuse a finished run whose result or files were changed since it ended; a deleted file is accepted.

    Raises:
        RunFolderError: At the first changed file; the message names it.
    """
    finished = _finished(_read_or_empty(folder / FILE_NAME))
    if finished is not None:
        files.are_unchanged(folder, {RESULT: finished.result_sha256})
        files.are_unchanged(folder, finished.files_sha256)


def _finished(document: Mapping[str, Any]) -> Finished | None:
    """What a status says of a finished run; None of one that is not."""
    said = document.get("result_sha256")
    if document.get("state") != "finished" or not isinstance(said, str):
        return None
    made, n_trials = document.get("files_sha256", {}), document.get("n_trials", {})
    if not isinstance(made, dict) or not isinstance(n_trials, dict):
        return None
    # only what a run makes: a name in a file must not have us read elsewhere
    inside = {name: value for name, value in made.items() if _MADE.fullmatch(name) and isinstance(value, str)}
    return Finished(said, inside, {study: n for study, n in n_trials.items() if type(n) is int})


def _holds_result(folder: Path, finished: Finished | None) -> bool:
    """Whether result.json is the one a finished run wrote; a run without it can only be resumed."""
    try:
        return finished is not None and files.are_unchanged(folder, {RESULT: finished.result_sha256})
    except RunFolderError:
        return False


def is_fresh(folder: Path) -> bool:
    """Whether a run may begin here: the folder is empty, or a run died in it before it wrote run.json."""
    try:
        names = {path.name for path in folder.iterdir() if not files.is_leftover(path)}
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be listed: {error.strerror}; check its permissions") from error
    # A log or a choice alone may be anyone's; beside our lock it is ours.
    return not names or (lock.FILE_NAME in names and names <= {lock.FILE_NAME, "log.txt", CHOICE})


def _read_or_empty(path: Path) -> dict[str, Any]:
    """The file's document; damaged or missing it counts as nothing known, since the next write replaces it."""
    try:
        return files.read_sealed_json(path)
    except RunFolderError:
        return {}


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
