"""A run and its folder: begun once, resumed as often as needed, finished once."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.text import printable
from archwright.runs import files, ledger, lock, nondeterminism, places, record, status
from archwright.runs.files import Json
from archwright.runs.ledger import START, Entry, Ledger
from archwright.runs.lock import FolderLock, holder, in_use
from archwright.runs.phase import CHECKPOINTS, Phase, Surroundings
from archwright.runs.progress import Progress
from archwright.runs.status import RESULT, Finished, StatusFile, is_fresh
from archwright.stores.base import Store
from archwright.stores.memory import MemoryStore
from archwright.stores.opening import FILE_NAME as DATABASE
from archwright.stores.opening import open_store

LOG = "log.txt"
FILES = (
    "plan.json",
    status.CHOICE,
    *(record.FILE_NAME, RESULT, LOG, lock.FILE_NAME, status.FILE_NAME, ledger.FILE_NAME, "report.html", "report.json"),
    *("predictions.safetensors", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"),
)
FOLDERS = (CHECKPOINTS, "best")
"""Folders inside a run's folder."""


class Run:
    """A run: its folder, phases, trials and result, which a recipe writes and resumes from; made by `open_run`.

    Attributes:
        folder: The run's folder; None keeps everything in memory.
        seed: Seed of everything random in the run.
        record: What run.json holds.

    Args:
        folder: The run's folder; None keeps everything in memory.
        started: The record of the run, see `make_record`.
        progress: Where to show how far it is.
        checkpoint_every_s: Seconds between the checkpoints of a long phase.
        lock: The folder's lock, which `close` frees; None for a run in memory.
    """

    def __init__(
        self,
        folder: Path | None,
        started: Mapping[str, Any],
        *,
        progress: Progress,
        checkpoint_every_s: float,
        lock: FolderLock | None = None,
    ) -> None:
        self.folder = folder
        self.record = dict(started)
        self.seed: int = started["seed"]
        self._lock = lock
        self._ledger = Ledger(folder)
        self._status = StatusFile(folder)
        self._around = Surroundings(folder, self._ledger, self._status, progress, checkpoint_every_s)
        self._phases: dict[str, Phase] = {}
        self._stores: dict[str, Store] = {}
        self._result: Json = None
        self._noting = threading.Lock()
        self._stop_noting = nondeterminism.subscribe(self._note)

    def store(self, study: str = "search") -> Store:
        """The trials of a study of this run; the same object each time, closed with the run.

        Raises:
            RunFolderError: If trials.sqlite is damaged.
        """
        self._check_open()
        if study not in self._stores:
            self._stores[study] = MemoryStore() if self.folder is None else open_store(self.folder, study)
        return self._stores[study]

    def phase(self, name: str, *, total: int | None = None) -> Phase:
        """The phase of that name; the same object each time.

        Args:
            name: Letters, digits, `.`, `_`, `-`; names its checkpoint file.
            total: Units of work in it, to estimate the time left.

        Raises:
            RunFolderError: If its checkpoint is damaged.
        """
        self._check_open()
        if name not in self._phases:
            self._phases[name] = Phase(name, self._around, total)
        if total is not None:
            self._phases[name].total = total
        return self._phases[name]

    def path(self, name: str) -> Path:
        """A path inside the run's folder, e.g. `run.path("best/model.onnx")`; write to it with `files.replacing`.

        Raises:
            InvalidValueError: If the name leads out of the folder.
            RunError: If the run is kept in memory.
        """
        if self.folder is None:
            raise RunError(f"there is no file {name!r}: this run is kept in memory; give it a folder")
        base = self.folder.resolve()
        # Links count: a folder that points elsewhere leads out as well.
        if not name or not name.isprintable() or not (base / name).resolve().is_relative_to(base) or name == ".":
            raise InvalidValueError(f"{name!r} is no file inside the run's folder; give a relative path without '..'")
        return self.folder / name

    def write_json(self, name: str, document: Json) -> None:
        """Write a strict JSON file into the folder, atomically; in memory it is only checked."""
        self._check_open()
        if self.folder is None:
            files.json_text(document, name)
        else:
            files.write_json(self.path(name), document)

    def note_start(self, seconds: float) -> None:
        """Count what a process did for the run before it was opened: loading programs and data, measuring."""
        self._ledger.add(START, seconds)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Inside, time is counted in the ledger under a name of its own: work that is no phase."""
        self._ledger.begin(name)
        try:
            yield
        finally:
            self._ledger.end(name)

    @property
    def ledger(self) -> dict[str, Entry]:
        """Wall time, CPU time and peak memory of each phase up to now."""
        return self._ledger.entries()

    def log(self, line: str) -> None:
        """Append a line with the UTC time to log.txt.

        Raises:
            RunError: If it cannot be written.
        """
        if self.folder is None:
            return
        self._check_open()
        path = self.folder / LOG
        text = f"{record.utc_now()} {printable(line)}\n".encode("utf-8", "backslashreplace")
        try:
            with path.open("a+b") as stream:
                if stream.seek(0, 2) and (stream.seek(-1, 2), stream.read(1))[1] != b"\n":
                    text = b"\n" + text  # the last writer was killed within its line
                stream.write(text)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from error

    @property
    def nondeterministic(self) -> list[str]:
        """Operations without a deterministic form that this run met, in all of its processes."""
        return list(self.record.get(record.NONDETERMINISTIC, ()))

    def _note(self, operation: str) -> None:
        """Enter an operation in run.json, before anything that was computed with it can be kept."""
        with self._noting:
            if operation in self.nondeterministic:
                return
            self.record[record.NONDETERMINISTIC] = [*self.nondeterministic, operation]
            with suppress(RunError):  # a full disk must not fail a trial; `finish` writes it again
                self._write_record()
                self.log(nondeterminism.withdrawal([operation]))

    def _write_record(self) -> None:
        if self.folder is not None:
            files.write_sealed_json(self.folder / record.FILE_NAME, self.record)

    def finish(self, result: Json, *, products: Sequence[str] = ()) -> None:
        """Write result.json and mark the run finished; a second call replaces the result.

        Args:
            result: Strict JSON.
            products: Names of the files in the folder that are made for the user; damage to them is noticed later.

        Raises:
            InvalidValueError: If the result is no strict JSON.
        """
        self._check_open()
        text = files.json_text(result, RESULT) + "\n"
        if self.folder is not None:
            if self.nondeterministic:
                self._write_record()
            self._ledger.save(durable=True)
            files.write_text(self.folder / RESULT, text)
            made = {name: files.digest(self.path(name)) for name in products}
            n_trials = {study: len(store) for study, store in self._stores.items()}
            self._status.finish(Finished(hashlib.sha256(text.encode()).hexdigest(), made, n_trials))
            self.log("finished")
        self._result = files.parse_json(text, RESULT)

    @property
    def result(self) -> Json:
        """The result given to `finish`, in this process or an earlier one; None if the run is not finished.

        A run whose result, product or trials were deleted is no longer finished: resuming it makes them again from
        its checkpoints.

        Raises:
            RunFolderError: If result.json or a product was changed since it was written.
        """
        finished = self._status.finished
        if self._result is None and self.folder is not None and finished is not None:
            if not files.are_unchanged(self.folder, {RESULT: finished.result_sha256, **finished.files_sha256}):
                return None
            if any(len(self.store(study)) != n for study, n in finished.n_trials.items()):
                return None
            self._result = files.read_json(self.folder / RESULT)
        return self._result

    def close(self) -> None:
        """Close stores and progress, free the folder's lock; twice is fine."""
        if not self._around.is_open:
            return
        self._around.is_open = False
        self._stop_noting()
        try:
            for store in self._stores.values():
                store.close()
            self._around.progress.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                with suppress(RunError):  # a full disk must not hide what went wrong
                    self.log(f"stopped by {type(error).__name__}: {error}")
        finally:
            self.close()

    def _check_open(self) -> None:
        if not self._around.is_open:
            raise RunError("this run is closed; open it again with open_run(..., resume=True)")


def open_run(
    out: Path | str | None,
    config: Mapping[str, Any],
    *,
    seed: int,
    resume: bool = False,
    progress: Progress | None = None,
    checkpoint_every_s: float = 20.0,
    recipe: str | None = None,
    threads: int | None = None,
    command: Sequence[str] | None = None,
    absent: Mapping[str, Any] | None = None,
    documents: Mapping[str, Json] | None = None,
    accept_code_change: bool = False,
) -> Run:
    """Begin a run in a new or empty folder, or go on with the one in it.

    Args:
        out: The folder, created if missing; None keeps the run in memory and writes nothing.
        config: The effective configuration, strict JSON.
        seed: Seed of everything random, in [0, 2**63).
        resume: Go on with the run in the folder; begin one if there is none.
        progress: Where to show how far the run is; None shows nothing.
        checkpoint_every_s: Seconds between the checkpoints of a long phase.
        recipe: Name for run.json; None takes `config["recipe"]` if there is one.
        threads: Threads an evaluation uses; None takes torch's current number.
        command: The command line, for repeating the run; None takes this process's, if it is archwright's.
        absent: What settings of the config, by dotted name, meant in runs that lack them (`absent_settings`).
        documents: What a new run keeps of what went before it, JSON by file name: "choice.json".
        accept_code_change: Go on though the code of a user's space was edited; the record keeps that it was.

    Raises:
        RunFolderError: If the folder is not empty (without `resume`), in use, not a run's, damaged, of another
            format, or holds a run with another config, seed, recipe or thread count. Nothing is changed then.
        InvalidValueError: If an argument is out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidValueError(f"seed is {seed!r}; give an integer from 0 to 2**63 - 1")
    if math.isnan(checkpoint_every_s) or checkpoint_every_s < 0:
        raise InvalidValueError(f"checkpoint_every_s is {checkpoint_every_s!r}; give seconds, 0 for every occasion")
    if threads is not None and threads < 1:
        raise InvalidValueError(f"threads is {threads}; give at least 1")
    if recipe is None:
        recipe = str(config.get("recipe", ""))
    threads, command = threads or _threads(), command or _own_command()
    asked = record.make_record(config, recipe=recipe, seed=seed, threads=threads, command=command)
    shown = progress or Progress()
    if out is None:
        return Run(None, asked, progress=shown, checkpoint_every_s=checkpoint_every_s)
    if not str(out):
        raise InvalidValueError("the folder of a run is named by empty text; give a path, or None to write nothing")
    folder = Path(out)
    lock = _claim(folder, resume=resume)
    try:
        started, notes = _begin_or_go_on(folder, asked, absent or {}, documents or {}, accept_code_change)
        run = Run(folder, started, progress=shown, checkpoint_every_s=checkpoint_every_s, lock=lock)
        for note in notes:
            run.log(note)
    except RunError as error:  # nothing has started yet, so this can be mended first
        lock.release()
        raise RunFolderError(str(error)) from error
    except BaseException:
        lock.release()
        raise
    return run


def check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder in which a run cannot begin or go on, before any work is done; writes nothing.

    Raises:
        RunFolderError: In the same cases as `open_run`.
    """
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        above = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
        if not above.is_dir():
            raise RunFolderError(f"{folder} cannot be made: {above} is no folder; choose another --out") from None
        return
    except (OSError, ValueError) as error:  # too long a name; a zero byte
        said = (error.strerror if isinstance(error, OSError) else None) or error
        raise RunFolderError(f"{str(folder)!r} cannot be looked up: {said}; choose another --out") from None
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is a file; choose a folder as --out")
    _refuse_unsuitable(folder, resume=resume)
    pid = holder(folder) if resume else None
    if pid is not None:
        raise in_use(folder, pid)


def _claim(folder: Path, *, resume: bool) -> FolderLock:
    """The lock of a folder in which this run may begin or go on; another folder is left untouched."""
    check_folder(folder, resume=resume)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise RunFolderError(f"{folder} cannot be made: {said}; choose another --out") from error
    lock = FolderLock(folder)
    try:
        _refuse_unsuitable(folder, resume=resume)  # another process may have begun a run before the lock was ours
    except BaseException:
        lock.release()
        raise
    return lock


def _refuse_unsuitable(folder: Path, *, resume: bool) -> None:
    if is_fresh(folder):
        return
    if not (folder / record.FILE_NAME).exists():
        raise RunFolderError(f"{folder} is not empty and holds no run (there is no run.json); choose another --out")
    _refuse_misplaced(folder)
    if not resume:
        pid = holder(folder)
        if pid is not None:
            raise in_use(folder, pid)
        raise RunFolderError(f"{folder} is not empty; choose another --out or add --resume")


def _refuse_links(folder: Path) -> None:
    """What a run writes into its folder stays there: none of its folders or files may be a link that leads out."""
    base = folder.resolve()
    for name in (CHECKPOINTS, "best", LOG, DATABASE):
        path = folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(base):
            raise RunFolderError(f"{path} is a link out of the run's folder; put what it names in its place")


def _refuse_misplaced(folder: Path) -> None:
    """Something else in the place of a file or folder of a run would stop it later, when it comes to writing there."""
    for names, kind, is_right in ((FILES, "file", Path.is_file), (FOLDERS, "folder", Path.is_dir)):
        for path in (folder / name for name in names):
            if os.path.lexists(path) and not is_right(path):
                raise RunFolderError(f"{path} is no {kind}, as a run has there; remove it or restore it from a copy")


def _begin_or_go_on(
    folder: Path,
    asked: Mapping[str, Any],
    absent: Mapping[str, Any],
    documents: Mapping[str, Json],
    accept_code_change: bool,
) -> tuple[Mapping[str, Any], list[str]]:
    """The record to work by, and lines for the log."""
    _refuse_links(folder)
    if not (folder / record.FILE_NAME).exists():
        files.remove_leftovers(folder)
        (folder / status.CHOICE).unlink(missing_ok=True)  # of a start that was killed
        for name, document in documents.items():  # before the record, so that a run that has begun has them
            files.write_json(folder / name, document)
        if found := places.noted(asked["config"], folder.absolute()):
            asked = {**asked, record.PLACES: found}
        files.write_sealed_json(folder / record.FILE_NAME, asked)
        return asked, [f"started {asked['recipe'] or 'a run'} with seed {asked['seed']}"]
    stored = record.read_record(folder)
    is_edited = record.refuse_differences(folder, stored, asked, absent, accept_code_change=accept_code_change)
    files.remove_leftovers(folder)
    changed = record.changed_versions(stored, asked)
    notes = [f"versions changed since the start, results may differ: {', '.join(changed)}"] if changed else []
    if is_edited:
        stored = record.with_code_change(stored, asked)
        files.write_sealed_json(folder / record.FILE_NAME, stored)
        notes.append("the code of the space was edited since the start; --accept-code-change goes on with it")
    return stored, [*notes, "resumed"]


def _own_command() -> list[str] | None:
    """How the command line was called, where this process is one."""
    program = Path(sys.argv[0]) if sys.argv else Path()
    is_ours = program.name == "archwright" or program.parts[-2:] == ("archwright", "__main__.py")
    return ["archwright", *sys.argv[1:]] if is_ours else None


def _threads() -> int:
    import torch

    return torch.get_num_threads()
