"""Evaluation in this process, one group of candidates after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from archwright.core.trial import Candidate
from archwright.evaluators.base import Evaluator
from archwright.runners.assessing import assess
from archwright.runners.base import Outcome, Runner, Running


class Serial(Runner):
    """Evaluates in this process, in groups as large as the evaluator asks for."""

    def start(self, evaluator: Evaluator) -> Running:
        return _SerialRunning(evaluator)


WINDOW = 64
"""How many candidates are asked ahead if the strategy allows it, so that their costs are looked up together."""


class _SerialRunning(Running):
    def __init__(self, evaluator: Evaluator) -> None:
        self.window = max(evaluator.chunk, WINDOW)
        self._evaluator = evaluator
        self._queue: deque[Candidate] = deque()

    def submit(self, candidates: Sequence[Candidate]) -> None:
        self._queue.extend(candidates)

    def collect(self, number: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._queue and all(outcome.number != number for outcome in outcomes):
            n = min(len(self._queue), self._evaluator.chunk)
            outcomes += assess(self._evaluator, [self._queue.popleft() for _ in range(n)])
        return outcomes
