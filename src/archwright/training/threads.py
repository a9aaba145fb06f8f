"""Find the number of threads with which a training step is fastest, by timing.

Threads meet at the end of every operation, and one that waits spins while its partner is not running. Beside a process
that keeps a core busy, two threads can so be many times slower than one; on a quiet machine they are nearly twice as
fast. What is lost is lost in stalls: figures are means over all steps, not medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from archwright.training.device import set_threads

Step = Callable[[int], object]
"""Computes training step i, or another piece of work that is repeated."""

Clock = Callable[[], float]

CLEARLY = 1.15
"""Speed-up that more threads must reach: they lose more when another process starts later."""

HOPELESS = 3.0
"""A number of threads that is this many times slower after one block is not tried again."""

BLOCK_S = 0.2


@dataclass
class Pace:
    """Timings of steps.

    Attributes:
        n_steps: How many there were.
        total_s: Seconds of all of them.
    """

    n_steps: int = 0
    total_s: float = 0.0

    @property
    def step_s(self) -> float:
        """Mean seconds of a step."""
        return self.total_s / max(1, self.n_steps)

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.n_steps / self.total_s if self.total_s > 0 else 0.0

    def run(self, step: Step, *, seconds: float, most: int | None = None, clock: Clock = time.perf_counter) -> None:
        """Time further steps, at least one, until the time is over.

        Args:
            step: Is given the number of steps before it.
            seconds: No step begins later.
            most: Steps to add at most.
            clock: Seconds that only go on.
        """
        begun, n_before = clock(), self.n_steps
        while True:
            started = clock()
            step(self.n_steps)
            self.total_s += clock() - started
            self.n_steps += 1
            if clock() - begun >= seconds or self.n_steps - n_before == most:
                return


def probe_threads(
    step: Step,
    candidates: Sequence[int],
    *,
    seconds: float,
    warm: Container[int] = (),
    block_s: float = BLOCK_S,
    use: Callable[[int], None] = set_threads,
    clock: Clock = time.perf_counter,
) -> dict[int, Pace]:
    """The pace of a step with each number of threads, in turn in short blocks, so that all meet the same neighbours.

    The number of threads is afterwards the last that was tried.

    Args:
        step: What is timed; each candidate computes the same steps in the same order.
        candidates: Numbers of threads.
        seconds: In all, about; each candidate has one block however long its steps are.
        warm: Candidates that computed the step just before; the others warm up first.
        block_s: Of one candidate at a time.
        use: Sets the number of threads.
        clock: Seconds that only go on.
    """
    for n in candidates:
        if n not in warm:
            use(n)
            step(0)  # starts threads, prepares kernels
    paces = {n: Pace() for n in candidates}
    tried, begun = list(candidates), clock()
    while True:
        for n in tried:
            use(n)
            paces[n].run(step, seconds=block_s, clock=clock)
        least = min(pace.step_s for pace in paces.values())
        tried = [n for n in tried if paces[n].step_s < HOPELESS * least]
        if len(tried) < 2 or clock() - begun >= seconds:
            return paces


def fastest(paces: Mapping[int, Pace], clearly: float = CLEARLY) -> int:
    """The number of threads to take: the smallest, unless more are clearly faster.

    >>> fastest({1: Pace(10, 1.0), 2: Pace(10, 0.6)}), fastest({1: Pace(10, 1.0), 2: Pace(10, 0.9)})
    (2, 1)
    """
    taken = min(paces)
    for n in sorted(paces):
        if paces[taken].step_s >= clearly * paces[n].step_s:
            taken = n
    return taken
