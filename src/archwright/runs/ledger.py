"""Where the time went: wall time, CPU time and peak memory of each phase, over all resumptions."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from archwright.core.errors import RunFolderError
from archwright.runs import files

FILE_NAME = "ledger.json"
MAX_FIGURE = 1e15
"""Seconds or megabytes above this value can only come from a damaged file."""


START = "start"
"""Name of the entry for what happens before the first phase."""


class Entry(TypedDict):
    """Time and memory one phase took.

    `wall_s` and `cpu_s` (this process and the children it waited for, user and system) are in seconds; `peak_rss_mb`
    is the highest resident memory of the process, or of its largest child, up to the end of the phase, in 2**20 bytes.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mb: float


class Ledger:
    """Time and memory of each phase of a run, in the order in which the phases began.

    Work that was killed and repeated counts twice: the ledger says what was spent.

    Args:
        folder: The run's folder, whose ledger.json is read and written; None keeps it in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._entries: dict[str, Entry] = {}
        self._begun: dict[str, tuple[Entry, Entry]] = {}
        self.was_damaged = False
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def entries(self) -> dict[str, Entry]:
        """Every phase's entry up to now."""
        for phase in self._begun:
            self._bring_up_to_date(phase)
        return {phase: entry.copy() for phase, entry in self._entries.items()}

    def entry(self, phase: str) -> Entry:
        """The entry of one phase up to now."""
        return self.entries().get(phase, _nothing())

    def begin(self, phase: str) -> None:
        """Start the clock of a phase; time from before a resumption is kept and added to."""
        self._begun[phase] = (self._entries.setdefault(phase, _nothing()), usage())

    def end(self, phase: str) -> None:
        """Stop the clock of a phase."""
        self._bring_up_to_date(phase)
        del self._begun[phase]

    def add(self, name: str, wall_s: float) -> None:
        """Add time that has just gone by to an entry; of a process that has just begun, with all CPU time it used.

        Args:
            name: Of the entry.
            wall_s: Seconds.
        """
        entry, now = self._entries.setdefault(name, _nothing()), usage()
        self._entries[name] = {
            "wall_s": round(entry["wall_s"] + wall_s, 3),
            "cpu_s": round(entry["cpu_s"] + min(now["cpu_s"], wall_s * (os.cpu_count() or 1)), 3),
            "peak_rss_mb": round(max(entry["peak_rss_mb"], now["peak_rss_mb"]), 1),
        }

    def recall(self, phase: str, known: Mapping[str, Any] | None) -> None:
        """Take over a phase's entry from its checkpoint, if the ledger's own file is lost or older."""
        entry = _entry(known)
        if entry is not None and entry["wall_s"] > self._entries.get(phase, _nothing())["wall_s"]:
            self._entries[phase] = entry

    def save(self, *, durable: bool = False) -> None:
        """Write the file; it can be rebuilt from the checkpoints, so flushing to the disk is not needed."""
        if self._path is not None:
            files.write_sealed_json(self._path, self.entries(), durable=durable)

    def _bring_up_to_date(self, phase: str) -> None:
        before, start = self._begun[phase]
        now = usage()
        self._entries[phase] = {
            "wall_s": round(before["wall_s"] + now["wall_s"] - start["wall_s"], 3),
            "cpu_s": round(before["cpu_s"] + now["cpu_s"] - start["cpu_s"], 3),
            "peak_rss_mb": round(max(before["peak_rss_mb"], now["peak_rss_mb"]), 1),
        }

    def _read(self, path: Path) -> None:
        try:
            found = files.read_sealed_json(path)
        except RunFolderError:
            self.was_damaged = True
            return
        entries = {phase: _entry(entry) for phase, entry in found.items()}
        self.was_damaged = None in entries.values()
        self._entries = {phase: entry for phase, entry in entries.items() if entry is not None}


def usage() -> Entry:
    """Clock reading, CPU time and peak memory of this process now; only differences of `wall_s` mean anything."""
    if sys.platform == "win32":
        return {"wall_s": time.monotonic(), "cpu_s": time.process_time(), "peak_rss_mb": 0.0}
    import resource

    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere, in one megabyte
    return {"wall_s": time.monotonic(), "cpu_s": cpu_s, "peak_rss_mb": max(own.ru_maxrss, children.ru_maxrss) / unit}


def process_age_s() -> float:
    """Seconds since this process began, where the system tells; else those of its CPU time."""
    try:
        began = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, AttributeError, ValueError, IndexError):
        return time.process_time()


def _nothing() -> Entry:
    return {"wall_s": 0.0, "cpu_s": 0.0, "peak_rss_mb": 0.0}


def _entry(found: Any) -> Entry | None:
    """The three figures of a read entry, or None if it is none."""
    if not isinstance(found, Mapping):
        return None
    entry = _nothing()
    for name in entry:
        value = found.get(name)
        if not isinstance(value, int | float) or not 0 <= value <= MAX_FIGURE:
            return None
        entry[name] = float(value)  # type: ignore[literal-required]
    return entry
