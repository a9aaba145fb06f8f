"""The contract of a runner: candidates go in, outcomes come out, in whatever order they are ready."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from archwright.core.trial import Candidate
from archwright.evaluators.base import Evaluator


@dataclass(frozen=True)
class Outcome:
    """The result of evaluating one candidate: its metrics, or why it failed.

    Attributes:
        number: The candidate's.
        metrics: Finite figures by name; empty where the evaluation failed.
        failure: Why it failed, in one line; empty where it did not.
        duration_s: Wall time it took.
    """

    number: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    duration_s: float = 0.0


class Runner(ABC):
    """Where evaluations execute; outcomes depend on the candidates alone, not on where or in which order they ran."""

    @abstractmethod
    def start(self, evaluator: Evaluator) -> Running:
        """Be ready to evaluate with this evaluator.

        Raises:
            UsageError: If the evaluator cannot work there.
        """


class Running(ABC):
    """A runner at work for one evaluator; a context manager that gives back what it holds.

    Attributes:
        window: How many candidates are worth submitting before outcomes are collected.
    """

    window: int = 1

    @abstractmethod
    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Queue candidates; earlier ones are begun first."""

    @abstractmethod
    def collect(self, number: int) -> list[Outcome]:
        """Outcomes not collected before, at least that of this candidate; waits for it.

        Raises:
            UsageError: If evaluating met what the user has to mend first, such as unreadable data.
            RunError: If candidates can no longer be evaluated at all.
        """

    def close(self) -> None:  # noqa: B027  (a runner without resources has nothing to do)
        """Stop, whatever is under way; twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
