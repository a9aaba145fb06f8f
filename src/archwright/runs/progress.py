"""Show people how far a run is: not at all, as plain lines, or as a live bar."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from archwright.core.text import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_EVERY_S = 10.0
"""Seconds between two plain lines of a phase, at least; its first and last line come at once."""

RATE_WINDOW_S = 30.0
"""Seconds over which the current rate is measured."""


@dataclass(frozen=True)
class Standing:
    """How far a phase is.

    Attributes:
        phase: Its name.
        done: Units of work done, over all resumptions.
        total: Units there are, None if unknown.
        figures: Named values to show, such as {"best": 0.93}.
        time_left_s: Seconds until the end at the current rate, None if unknown.
    """

    phase: str
    done: int = 0
    total: int | None = None
    figures: Mapping[str, float | str] = field(default_factory=dict)
    time_left_s: float | None = None


class Progress:
    """Receives how far a run is. This base class shows nothing; subclasses show it."""

    def begin(self, standing: Standing) -> None:
        """A phase starts or goes on."""

    def update(self, standing: Standing) -> None:
        """A phase advanced; called at most ten times a second."""

    def end(self, standing: Standing, duration_s: float, *, is_done: bool) -> None:
        """A phase ended or was interrupted.

        Args:
            standing: How far it was then.
            duration_s: Wall time it took in this process.
            is_done: Whether it is finished.
        """

    def skip(self, standing: Standing) -> None:
        """A phase needs no work: an earlier process finished it."""

    def close(self) -> None:
        """The run is over; twice is fine."""


class PlainProgress(Progress):
    """One line now and then, for logs and pipes.

    Args:
        stream: Where the lines go; a reader that went away does not stop the run.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last_s = -math.inf

    def begin(self, standing: Standing) -> None:
        self._last_s = time.monotonic()
        size = "" if standing.total is None else f" ({standing.total} units)"
        self._line(f"{standing.phase}: started{size}")

    def update(self, standing: Standing) -> None:
        now = time.monotonic()
        if now - self._last_s >= LINE_EVERY_S:
            self._last_s = now
            self._line(f"{standing.phase}: {', '.join(_parts(standing))}")

    def end(self, standing: Standing, duration_s: float, *, is_done: bool) -> None:
        outcome = f"{'done in' if is_done else 'stopped after'} {duration_text(duration_s)}"
        self._line(f"{standing.phase}: {', '.join([outcome, *_figures(standing)])}")

    def skip(self, standing: Standing) -> None:
        self._line(f"{standing.phase}: done before")

    def _line(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        shown = printable(text).encode(encoding, "backslashreplace").decode(encoding)
        with suppress(OSError, ValueError):  # a closed pipe or file
            self._stream.write(shown + "\n")
            self._stream.flush()


class RichProgress(Progress):
    """A live progress bar for each phase: name, bar, done of total, figures, time left.

    Args:
        stream: The terminal; None is standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        # Names come from users, so no column reads markup. No refresh thread: workers may be forked at any time.
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}", markup=False),
            console=Console(file=stream),
            auto_refresh=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._is_open = False

    def begin(self, standing: Standing) -> None:
        if not self._is_open:
            self._bars.start()
            self._is_open = True
        name = printable(standing.phase)
        self._tasks[standing.phase] = self._bars.add_task(name, total=standing.total, said="")
        self.update(standing)

    def update(self, standing: Standing) -> None:
        self._show(standing, ", ".join(_parts(standing)))

    def end(self, standing: Standing, duration_s: float, *, is_done: bool) -> None:
        outcome = f"{'done in' if is_done else 'stopped after'} {duration_text(duration_s)}"
        if is_done and standing.total is None:  # a full bar rather than one that goes on pulsing
            self._bars.update(self._tasks[standing.phase], total=max(standing.done, 1), completed=max(standing.done, 1))
        self._show(standing, ", ".join([outcome, *_figures(standing)]))
        self._bars.stop_task(self._tasks[standing.phase])

    def skip(self, standing: Standing) -> None:
        self.begin(standing)
        self._bars.update(self._tasks[standing.phase], total=1, completed=1, said="done before", refresh=True)

    def close(self) -> None:
        if self._is_open:
            self._bars.stop()
            self._is_open = False

    def _show(self, standing: Standing, said: str) -> None:
        task = self._tasks[standing.phase]
        self._bars.update(task, completed=max(standing.done, 0), said=printable(said), refresh=True)


def make_progress(stream: TextIO) -> Progress:
    """A live bar where the stream is a terminal, plain lines elsewhere."""
    return RichProgress(stream) if stream.isatty() else PlainProgress(stream)


class Rate:
    """Units a second, measured over the last `RATE_WINDOW_S` seconds.

    >>> rate = Rate()
    >>> rate.note(0, 0.0)
    >>> rate.note(10, 5.0)
    >>> rate.time_left_s(10, 30)
    10.0
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, done: int, now_s: float) -> None:
        """Note how many units are done at this time, in seconds of a monotonic clock."""
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= RATE_WINDOW_S:
            self._seen.popleft()
        # Samples half a second apart are enough; the newest one is replaced until it is that far from its neighbour.
        if len(self._seen) > 1 and self._seen[-1][0] - self._seen[-2][0] < 0.5:
            self._seen.pop()
        self._seen.append((now_s, done))

    def time_left_s(self, done: int, total: int | None) -> float | None:
        """Seconds until `total` at the current rate; None while that is unknown."""
        if total is None:
            return None
        if done >= total:
            return 0.0
        if len(self._seen) < 2:
            return None
        (start_s, first), (end_s, last) = self._seen[0], self._seen[-1]
        return (total - done) * (end_s - start_s) / (last - first) if last > first else None


def duration_text(seconds: float) -> str:
    """A duration as text for people, such as 1 min 15 s.

    >>> duration_text(4.25), duration_text(75), duration_text(7384)
    ('4.2 s', '1 min 15 s', '2 h 03 min')
    """
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _parts(standing: Standing) -> list[str]:
    counted = f"{standing.done}" if standing.total is None else f"{standing.done}/{standing.total}"
    left = [] if standing.time_left_s is None else [f"{duration_text(standing.time_left_s)} left"]
    return [counted, *_figures(standing), *left]


def _figures(standing: Standing) -> list[str]:
    return [
        f"{name}={value if isinstance(value, str) else format(value, '.4g')}"
        for name, value in standing.figures.items()
    ]
