"""The contract of a runner: it takes candidates and gives outcomes, in the order in which they are ready."""

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
    """The outcome of one candidate's evaluation.

    Attributes:
        number: Number of the candidate.
        metrics: Finite figures by name; empty if the evaluation failed.
        failure: Why it failed, in one line; empty if it did not.
        duration_s: Wall time of the evaluation.
    """

    number: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    duration_s: float = 0.0


class Runner(ABC):
    """Where evaluations execute. Outcomes depend only on the candidates, never on where or when they are evaluated."""

    @abstractmethod
    def start(self, evaluator: Evaluator) -> Running:
        """Get ready to evaluate candidates with this evaluator.

        Raises:
            UsageError: If the evaluator cannot work with this runner.
        """


class Running(ABC):
    """A runner at work for one evaluator; as a context manager it stops and frees its processes at the end.

    Attributes:
        window: How many candidates to submit before outcomes are collected, to keep it busy.
    """

    window: int = 1

    @abstractmethod
    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Queue candidates; they begin in this order."""

    @abstractmethod
    def collect(self, number: int) -> list[Outcome]:
        """Wait for the outcome of this candidate; returns it and all others that are ready and not collected yet.

        Raises:
            UsageError: If an evaluation met an error that the user has to correct first, such as unreadable data.
            RunError: If candidates can no longer be evaluated at all.
        """

    def close(self) -> None:  # noqa: B027  (a runner without resources has nothing to do)
        """Stop, even if evaluations are running; twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
