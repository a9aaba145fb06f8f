"""The contract of every store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from archwright.core.errors import InvalidValueError
from archwright.core.trial import Trial


class Store(ABC):
    """The trials of one study, by ascending number; a store only keeps them.

    A trial read back equals the one added, whatever its floats (infinities and not-a-number included).
    """

    @abstractmethod
    def add(self, trials: Sequence[Trial]) -> None:
        """Keep these trials: all of them or, after an error, none. When it returns, they are stored.

        Raises:
            InvalidValueError: If a number is already present or given twice, or a value cannot be stored.
            RunError: If the storage refuses, for example because the disk is full.
        """

    @abstractmethod
    def get(self, number: int) -> Trial | None:
        """The trial of that number, or None."""

    @abstractmethod
    def trials(self) -> list[Trial]:
        """Every trial, by ascending number."""

    @abstractmethod
    def __len__(self) -> int:
        """How many trials there are."""

    def close(self) -> None:  # noqa: B027  (a store without resources has nothing to do)
        """Release connections and files; closing twice is fine."""

    def __bool__(self) -> bool:
        """Always true: without this an empty store would count as no store in `store or other`."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def already_present(numbers: Sequence[int], where: str) -> InvalidValueError:
    """The error for adding trials whose numbers the store already has; `where` names the store in the message."""
    subject = f"trial {numbers[0]} is" if len(numbers) == 1 else f"trials {', '.join(map(str, numbers))} are"
    return InvalidValueError(f"{subject} already in {where}; a number is given once, skip the trials that are stored")


def repeated_numbers(trials: Sequence[Trial]) -> list[int]:
    """Numbers that occur more than once among these trials, ascending."""
    if len(trials) < 2:
        return []
    seen: set[int] = set()
    twice: set[int] = set()
    for trial in trials:
        (twice if trial.number in seen else seen).add(trial.number)
    return sorted(twice)
