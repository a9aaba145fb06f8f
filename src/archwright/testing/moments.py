"""Exact moments of a run: each step, before, within and after each write, each transaction, the export.

They are found by patching functions from outside for a while; the code of a run does not know that it is watched.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archwright.export import files as export_files
from archwright.export import onnx as export_onnx
from archwright.runs import phase as phases
from archwright.runs.files import is_leftover
from archwright.runs.phase import Phase
from archwright.runs.run import Run

START = "start"
"""Name of the phase of a process before its first phase."""


@dataclass(frozen=True)
class Moment:
    """The n-th time that an event happens in a phase of one process.

    Attributes:
        phase: The phase begun last; what happens after its end belongs to it until the next phase begins.
        event: "begin", "advance", "half of FILE" (within its write), "before FILE" and "after FILE" (its rename),
            "before commit", "after commit", "export", "verify".
        n: Counted from 1 in each process, for each event of each phase.
    """

    phase: str
    event: str
    n: int = 1


@contextmanager
def watched(notice: Callable[[Moment], None]) -> Iterator[None]:
    """A context in which `notice` is called at every moment of a run; its exceptions end the run."""
    seen: Counter[tuple[str, str]] = Counter()
    now = [START]

    def happens(event: str) -> None:
        seen[now[0], event] += 1
        notice(Moment(now[0], event, seen[now[0], event]))

    def enter(original: Any, phase: Phase) -> Any:
        now[0] = phase.name
        entered = original(phase)
        happens("begin")
        return entered

    def advance(original: Any, phase: Phase, done: int, **figures: float | str) -> None:
        original(phase, done, **figures)
        happens("advance")

    def replace(original: Any, source: Any, target: Any) -> None:
        is_ours = is_leftover(Path(source))
        if is_ours:
            happens(f"before {Path(target).name}")
        original(source, target)
        if is_ours:
            happens(f"after {Path(target).name}")

    def write(original: Any, path: Path, data: Any) -> Any:
        if is_leftover(path):
            original(path, memoryview(data)[: len(data) // 2])
            happens(f"half of {path.name[1:].rsplit('.', 2)[0]}")
        return original(path, data)

    class Watched(sqlite3.Connection):
        """Of every store: SQLAlchemy asks the driver for it, and so does what goes past SQLAlchemy."""

        def commit(self) -> None:
            happens("before commit")
            super().commit()
            happens("after commit")

    def connect(original: Any, *arguments: Any, **others: Any) -> Any:
        return original(*arguments, **{**others, "factory": Watched})

    def export(original: Any, *arguments: Any, **others: Any) -> Any:
        happens("export")
        return original(*arguments, **others)

    def verify(original: Any, *arguments: Any, **others: Any) -> Any:
        happens("verify")
        return original(*arguments, **others)

    with ExitStack() as patches:
        for owner, name, around in (
            *((Phase, "__enter__", enter), (Phase, "advance", advance)),
            *((os, "replace", replace), (os, "link", replace), (Path, "write_bytes", write)),
            (sqlite3.dbapi2, "connect", connect),
            *((export_files, "export_onnx", export), (export_onnx, "verify_onnx", verify)),
        ):
            patches.enter_context(_wrapped(owner, name, around))
        yield


@contextmanager
def eager() -> Iterator[None]:
    """A context in which a run does occasional work every time, so that its moments do not depend on the clock."""

    def begin(original: Any, run: Run, *arguments: Any, **others: Any) -> None:
        original(run, *arguments, **{**others, "checkpoint_every_s": 0.0})

    with (
        _wrapped(Run, "__init__", begin),
        _set(phases, "SHOW_EVERY_S", 0.0),
        _set(phases, "STATUS_EVERY_S", 0.0),
    ):
        yield


@contextmanager
def _wrapped(owner: Any, name: str, around: Callable[..., Any]) -> Iterator[None]:
    """`around(original, …)` in place of a function or method."""
    original = getattr(owner, name)

    def call(*arguments: Any, **others: Any) -> Any:
        return around(original, *arguments, **others)

    with _set(owner, name, call):
        yield


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
