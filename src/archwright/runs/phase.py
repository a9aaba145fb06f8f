"""One phase of a run: its clock, its checkpoint and its progress."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.runs import files
from archwright.runs.files import Json
from archwright.runs.ledger import Ledger
from archwright.runs.progress import Progress, Rate, Standing
from archwright.runs.status import StatusFile

if TYPE_CHECKING:
    import torch

CHECKPOINTS = "checkpoints"
SHOW_EVERY_S = 0.1
STATUS_EVERY_S = 1.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass
class Surroundings:
    """What all phases of a run share.

    Attributes:
        folder: The run's folder; None for a run in memory.
        ledger: Where the phases write the time they take.
        status: Where they write how far they are, for other processes.
        progress: Where they show how far they are.
        checkpoint_every_s: Seconds between the checkpoints of a long phase.
        is_open: Whether the run may still be written to; False once it gave its lock back.
    """

    folder: Path | None
    ledger: Ledger
    status: StatusFile
    progress: Progress
    checkpoint_every_s: float
    is_open: bool = True


class Phase:
    """A named part of a run that can be resumed: it is finished, at a checkpoint, or not begun.

    As a context manager it keeps time. The usual shape:

        with run.phase("supernet", total=steps) as phase:
            if not phase.is_done:
                tensors, state = phase.restore() or ({}, {"step": 0})
                for step in range(state["step"], steps):
                    ...
                    phase.advance(step + 1, loss=loss)
                    if phase.is_due:
                        phase.checkpoint(network.state_dict(), {"step": step + 1})
                phase.finish(network.state_dict())

    Made by `Run.phase`.

    Args:
        name: Its name, unique in the run; also names its checkpoint file.
        surroundings: What it shares with the run's other phases.
        total: Units of work in it, None if unknown.

    Raises:
        RunFolderError: If its checkpoint is damaged.
    """

    def __init__(self, name: str, surroundings: Surroundings, total: int | None = None) -> None:
        if not _NAME.fullmatch(name):
            accepted = "use 1 to 100 letters, digits, '.', '_' and '-', a letter or digit first"
            raise InvalidValueError(f"{name!r} cannot name a phase; {accepted}")
        self.name = name
        self.total = total
        self._around = surroundings
        folder = surroundings.folder
        self._path = None if folder is None else folder / CHECKPOINTS / f"{name}.safetensors"
        self._in_memory: dict[str, torch.Tensor] = {}
        self._has_checkpoint = False
        self._is_done = False
        self._state: Json = None
        self._done = 0
        self._figures: dict[str, float | str] = {}
        self._rate = Rate()
        self._entered_s: float | None = None
        self._saved_s = self._shown_s = self._status_s = time.monotonic()
        if self._path is not None and files.is_there(self._path):
            self._load(files.read_state(self._path), self._path)

    @property
    def is_done(self) -> bool:
        """Whether `finish` was reached, in this process or an earlier one."""
        return self._is_done

    @property
    def result(self) -> Json:
        """The state given to `finish`, as JSON gives it back; None before."""
        return copy.deepcopy(self._state) if self._is_done else None

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next checkpoint; always False for a run in memory."""
        return self._path is not None and time.monotonic() - self._saved_s >= self._around.checkpoint_every_s

    def restore(self) -> tuple[dict[str, torch.Tensor], Json] | None:
        """Tensors (on the CPU) and state of the last `checkpoint` or `finish`; None if there was none.

        Raises:
            RunFolderError: If the checkpoint is damaged.
        """
        if not self._has_checkpoint:
            return None
        if self._path is None:
            return {name: tensor.clone() for name, tensor in self._in_memory.items()}, copy.deepcopy(self._state)
        tensors, document = files.read_tensors(self._path)
        return tensors, document["state"]

    def checkpoint(self, tensors: Mapping[str, torch.Tensor] | None = None, state: Json = None) -> None:
        """Replace the checkpoint; if the process is killed meanwhile, the former one stays.

        Args:
            tensors: Dense tensors by name.
            state: JSON; floats that are not finite are allowed.

        Raises:
            RunError: If it cannot be written, or the phase is done.
        """
        self._save(tensors or {}, state, is_done=False)

    def finish(self, tensors: Mapping[str, torch.Tensor] | None = None, state: Json = None) -> None:
        """Replace the checkpoint by the outcome and mark the phase done, in one step.

        Raises:
            RunError: If it cannot be written, or the phase is done already.
        """
        self._save(tensors or {}, state, is_done=True)

    def reopen(self) -> None:
        """Mark the phase not done and drop its outcome, because something it made is gone and has to be made again."""
        self._is_done = self._has_checkpoint = False
        self._state = None

    def advance(self, done: int, **figures: float | str) -> None:
        """Report how many units are done; cheap enough to call at every step.

        Args:
            done: Units done over all resumptions.
            figures: Values to show; earlier ones stay until replaced. `best` is the best so far.
        """
        self._done = done
        self._figures.update(figures)
        now = time.monotonic()
        if now - self._shown_s >= SHOW_EVERY_S:
            self._show(now)

    def __enter__(self) -> Self:
        if self._is_done:
            self._around.progress.skip(Standing(self.name, total=self.total))
            return self
        now = time.monotonic()
        self._entered_s = self._saved_s = self._shown_s = self._status_s = now
        if not self._has_checkpoint:
            self._rate.note(0, now)
        self._around.ledger.begin(self.name)
        self._around.status.write(self._standing())
        self._around.progress.begin(self._standing())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered_s is None:
            return
        duration_s, self._entered_s = time.monotonic() - self._entered_s, None
        self._around.ledger.end(self.name)
        self._around.progress.end(self._standing(), duration_s, is_done=self._is_done)
        if error is None:
            self._write_figures()
        else:
            with suppress(RunError):  # a full disk must not hide what went wrong
                self._write_figures()

    def _show(self, now: float) -> None:
        self._shown_s = now
        self._rate.note(self._done, now)
        standing = self._standing()
        self._around.progress.update(standing)
        if now - self._status_s >= STATUS_EVERY_S:
            self._status_s = now
            self._around.status.write(standing)
            self._around.ledger.save()

    def _write_figures(self) -> None:
        self._around.ledger.save()
        self._around.status.write(self._standing())

    def _standing(self) -> Standing:
        left = self._rate.time_left_s(self._done, self.total)
        return Standing(self.name, self._done, self.total, dict(self._figures), left)

    def _save(self, tensors: Mapping[str, torch.Tensor], state: Json, *, is_done: bool) -> None:
        if self._is_done or not self._around.is_open:
            reason = "it is done" if self._is_done else "its run is closed"
            raise RunError(f"phase {self.name!r} cannot be saved: {reason}")
        kept = files.as_json(state, f"the state of phase {self.name!r}")
        if self._path is None:
            self._in_memory = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        else:
            entry = self._around.ledger.entry(self.name)
            document = {"phase": self.name, "is_done": is_done, "state": kept, "ledger": entry}
            files.write_tensors(self._path, tensors, document)
            self._around.ledger.save()
        self._state, self._is_done, self._has_checkpoint = kept, is_done, True
        self._saved_s = time.monotonic()

    def _load(self, document: Json, path: Path) -> None:
        if not isinstance(document, dict) or not {"is_done", "state"} <= document.keys():
            raise RunFolderError(f"{path} is no checkpoint of a phase; restore it from a copy")
        if document.get("phase") != self.name:
            raise RunFolderError(f"{path} is the checkpoint of phase {document.get('phase')!r}, not {self.name!r}")
        self._state, self._is_done, self._has_checkpoint = document["state"], document["is_done"] is True, True
        self._around.ledger.recall(self.name, document.get("ledger"))
