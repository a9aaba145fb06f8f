"""One worker process, from the side of its pool."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archwright.core.trial import Candidate
from archwright.runners import wire

PATIENCE_S = 5.0
COMMAND = (sys.executable, "-m", "archwright.runners.worker")


@dataclass(frozen=True)
class Event:
    """A message from a worker; None as message means that the worker has ended."""

    worker: int
    message: dict[str, Any] | None


class Worker:
    """A worker process; it starts at once and receives its orders.

    Args:
        identity: Number within the pool.
        orders: The first line it receives: how to make its evaluator, and its limits.
        log: File for what it writes to standard error.
        events: Queue to which its messages are added.

    Attributes:
        identity: Number within the pool.
        request: The candidates it is evaluating; empty while it has nothing to do.
        is_ready: Whether it has made its evaluator.
        since_s: Monotonic time at which it began its request, in seconds.
    """

    def __init__(self, identity: int, orders: bytes, log: Path, events: queue.Queue[Event]) -> None:
        self.identity = identity
        self.request: list[Candidate] = []
        self.is_ready = False
        self.since_s = time.monotonic()
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,  # Ctrl-C is for the pool, and killing the group takes its children along
            )
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()
        self._send(orders)

    def ask(self, candidates: Sequence[Candidate]) -> None:
        """Send it candidates to evaluate."""
        self.request = list(candidates)
        self.since_s = time.monotonic()
        self._send(wire.line(evaluate=wire.candidates_to_json(candidates)))

    def kill(self) -> None:
        """End it and the processes it started; twice is fine."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with suppress(OSError):  # what was not sent to a dead process cannot be flushed
            self._process.stdin.close()  # type: ignore[union-attr]

    def last_words(self) -> str:
        """How it ended, with the last line it wrote: "was killed by SIGKILL (…)" or "exited with code 1 (…)"."""
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:  # it closed its end and lives on
            return "stopped answering"
        text = self._log.read_text("utf-8", "replace").strip() if self._log.exists() else ""
        last = f": {' '.join(text.splitlines()[-1].split())[:300]}" if text else ""
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"was killed by {signal.Signals(-code).name}{hint}{last}"
        return f"exited with code {code}{last}"

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended: the listener says so
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _listen(self, events: queue.Queue[Event]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                events.put(Event(self.identity, wire.message(line)))
        events.put(Event(self.identity, None))
