"""Evaluation in several processes of this machine."""

from __future__ import annotations

import itertools
import math
import queue
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from archwright.core.errors import InvalidValueError, RunError, UsageError
from archwright.core.trial import Candidate
from archwright.evaluators.base import Evaluator
from archwright.runners import wire
from archwright.runners.base import Outcome, Runner, Running
from archwright.runners.processes import Event, Worker
from archwright.runs import nondeterminism

MAX_LOSSES = 3
"""How many workers may die on one candidate before its trial fails; a first death may have another cause."""


class ProcessPool(Runner):
    """Evaluates in worker processes, each made from the evaluator's blueprint.

    An outcome is the same for any number of workers, since it depends only on the candidate's arch, seed and budget and
    on the threads of one evaluation. Workers are new processes, not forks, so CUDA and thread pools work in them.

    If an evaluation raises, its candidate fails and is not tried again. If a worker dies (killed by the system, for
    example because memory ran out), its candidate is tried again in a new worker, at most `MAX_LOSSES` times in all. If
    a candidate takes longer than the time limit, it fails and its worker is replaced.

    Args:
        n_workers: Number of processes.
        threads: Threads an evaluation uses; None takes this process's current number of torch threads.
        trial_timeout_s: Longest time for one candidate in seconds; None waits for ever.
        memory_limit_bytes: Private memory of a worker, beyond which allocating fails (Linux); None sets no limit.

    Raises:
        InvalidValueError: If a number is out of its range.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        threads: int | None = None,
        trial_timeout_s: float | None = None,
        memory_limit_bytes: int | None = None,
    ) -> None:
        if n_workers < 1:
            raise InvalidValueError(f"a pool of {n_workers} workers evaluates nothing; give at least 1")
        if threads is not None and threads < 1:
            raise InvalidValueError(f"threads is {threads}; give at least 1")
        if trial_timeout_s is not None and not 0 < trial_timeout_s < math.inf:
            raise InvalidValueError(f"trial_timeout_s is {trial_timeout_s!r}; give positive seconds")
        if memory_limit_bytes is not None and memory_limit_bytes < 1:
            raise InvalidValueError(f"memory_limit_bytes is {memory_limit_bytes!r}; give a positive number")
        self.n_workers, self.threads = n_workers, threads
        self.trial_timeout_s, self.memory_limit_bytes = trial_timeout_s, memory_limit_bytes

    def start(self, evaluator: Evaluator) -> Running:
        """Prepare what the workers need; the processes start with the first candidates."""
        folder = tempfile.TemporaryDirectory(prefix="archwright-pool-")
        try:
            blueprint = evaluator.blueprint(Path(folder.name)).to_json()
        except BaseException:
            folder.cleanup()
            raise
        orders = {
            "path": sys.path,
            "threads": self.threads or _threads(),
            "memory_limit_bytes": self.memory_limit_bytes,
            "blueprint": blueprint,
        }
        return _PoolRunning(self, evaluator.chunk, folder, wire.line(**orders))


def _threads() -> int:
    import torch

    return torch.get_num_threads()


class _PoolRunning(Running):
    """Workers of one pool; each has one request at a time, so what a lost worker was doing is known."""

    def __init__(self, pool: ProcessPool, chunk: int, folder: tempfile.TemporaryDirectory[str], orders: bytes) -> None:
        self.window = 2 * pool.n_workers * chunk
        self._pool, self._chunk, self._folder, self._orders = pool, chunk, folder, orders
        self._queue: deque[Candidate] = deque()
        self._alone: set[int] = set()  # numbers that go without company: one of a lost group was the cause
        self._losses: Counter[int] = Counter()
        self._finished: list[Outcome] = []
        self._events: queue.Queue[Event] = queue.Queue()
        self._workers: dict[int, Worker] = {}
        self._ids = itertools.count()
        self._n_lost_at_start = 0

    def submit(self, candidates: Sequence[Candidate]) -> None:
        self._queue.extend(candidates)
        self._hand_out()

    def collect(self, number: int) -> list[Outcome]:
        while all(outcome.number != number for outcome in self._finished):
            self._await_event()
            self._hand_out()
        collected, self._finished = self._finished, []
        return collected

    def close(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()
        self._queue.clear()
        self._folder.cleanup()

    # ── giving out ────────────────────────────────────────────────────────────────────────────────

    def _hand_out(self) -> None:
        """Give every worker without a request the next candidates; start missing workers where there is work."""
        while self._queue:
            worker = next((worker for worker in self._workers.values() if not worker.request), None)
            if worker is None and len(self._workers) < self._pool.n_workers:
                worker = self._start_worker()
            if worker is None:
                return
            worker.ask(self._next_group())

    def _start_worker(self) -> Worker:
        identity = next(self._ids)
        log = Path(self._folder.name) / f"worker-{identity}.log"
        worker = self._workers[identity] = Worker(identity, self._orders, log, self._events)
        return worker

    def _next_group(self) -> list[Candidate]:
        """Candidates for one request: a fair share of what waits, at most the evaluator's chunk."""
        n = min(self._chunk, math.ceil(len(self._queue) / self._pool.n_workers))
        group = [self._queue.popleft()]
        while len(group) < n and self._queue and not self._alone & {group[0].number, self._queue[0].number}:
            group.append(self._queue.popleft())
        return group

    # ── taking in ─────────────────────────────────────────────────────────────────────────────────

    def _await_event(self) -> None:
        """Wait until a worker says something, ends, or has taken too long."""
        deadlines = {worker: self._deadline_s(worker) for worker in self._workers.values() if worker.request}
        if not deadlines:
            raise RunError("no worker is busy, and not all candidates are evaluated")  # a flaw of ours: never hang
        worker, deadline_s = min(deadlines.items(), key=lambda item: item[1])
        wait_s = None if deadline_s == math.inf else max(0.0, deadline_s - time.monotonic())
        try:
            event = self._events.get(timeout=wait_s)
        except queue.Empty:
            self._give_up_on(worker)
            return
        heard = self._workers.get(event.worker)
        if heard is None:  # what a worker said that was given up on meanwhile
            return
        if event.message is None:
            self._replace_lost(heard)
        else:
            self._hear(heard, event)

    def _hear(self, worker: Worker, event: Event) -> None:
        message = event.message or {}
        if "stop" in message:
            raise UsageError(message["stop"])
        for operation in message.get("nondeterministic", ()):  # before anything that came of it is kept
            nondeterminism.note(operation)
        if "outcomes" in message:
            self._finished += wire.outcomes_from_json(message["outcomes"])
            worker.request = []
        worker.is_ready = True
        worker.since_s = time.monotonic()  # making the evaluator does not count as evaluating

    def _deadline_s(self, worker: Worker) -> float:
        if self._pool.trial_timeout_s is None or not worker.is_ready:
            return math.inf
        return worker.since_s + self._pool.trial_timeout_s * len(worker.request)

    def _give_up_on(self, worker: Worker) -> None:
        group = self._remove(worker)
        if len(group) > 1:
            self._retry_one_by_one(group)
            return
        limit_s = self._pool.trial_timeout_s or 0.0
        failure = f"took longer than the {limit_s:g} s a trial may take"
        self._finished.append(Outcome(group[0].number, failure=failure, duration_s=limit_s))

    def _replace_lost(self, worker: Worker) -> None:
        reason = worker.last_words()
        group = self._remove(worker)
        if not worker.is_ready:
            self._n_lost_at_start += 1
            if self._n_lost_at_start >= MAX_LOSSES:
                raise RunError(f"{MAX_LOSSES} worker processes ended before they could evaluate; the last {reason}")
            self._queue.extendleft(reversed(group))
        elif len(group) > 1:
            self._retry_one_by_one(group)
        elif group:
            self._count_loss(group[0], reason)

    def _count_loss(self, candidate: Candidate, reason: str) -> None:
        self._losses[candidate.number] += 1
        if self._losses[candidate.number] < MAX_LOSSES:
            self._queue.appendleft(candidate)
            return
        failure = f"its worker process was lost {MAX_LOSSES} times; the last {reason}"
        self._finished.append(Outcome(candidate.number, failure=failure))

    def _retry_one_by_one(self, group: Sequence[Candidate]) -> None:
        self._alone.update(candidate.number for candidate in group)
        self._queue.extendleft(reversed(group))

    def _remove(self, worker: Worker) -> list[Candidate]:
        worker.kill()
        del self._workers[worker.identity]
        return worker.request
