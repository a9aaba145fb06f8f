"""A store in memory, gone when the process ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from archwright.core.trial import Trial
from archwright.stores.base import Store, already_present, repeated_numbers


class MemoryStore(Store):
    """Trials in a dictionary; safe to use from several threads.

    >>> len(MemoryStore())
    0
    """

    def __init__(self) -> None:
        self._trials: dict[int, Trial] = {}
        self._lock = threading.Lock()

    def add(self, trials: Sequence[Trial]) -> None:
        new = {trial.candidate.number: trial for trial in trials}
        with self._lock:
            taken = repeated_numbers(trials) or sorted(new.keys() & self._trials.keys())
            if taken:
                raise already_present(taken, "the store in memory")
            self._trials.update(new)

    def get(self, number: int) -> Trial | None:
        return self._trials.get(number)

    def trials(self) -> list[Trial]:
        with self._lock:
            return [self._trials[number] for number in sorted(self._trials)]

    def __len__(self) -> int:
        return len(self._trials)
