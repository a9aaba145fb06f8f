"""What a strategy asks for (Candidate) and what it is told (Trial)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from archwright.core.arch import Arch

Metrics = Mapping[str, float]
"""Named figures of one evaluation, e.g. {"top1_accuracy": 0.97}; fractions, not percent."""


@dataclass(frozen=True)
class Candidate:
    """One architecture a strategy wants evaluated.

    Attributes:
        number: Position in ask order, from 0; with the run's seed it determines `seed`.
        arch: The architecture.
        seed: Seed of everything random in its evaluation.
        budget: Optimiser steps the evaluation may use; None leaves it to the evaluator.
        parent: Number of the trial it was varied from, if any.
        origin: How it came about, e.g. "random", "mutation", "crossover".
    """

    number: int
    arch: Arch
    seed: int
    budget: int | None = None
    parent: int | None = None
    origin: str = "random"


@dataclass(frozen=True)
class Trial:
    """An evaluated candidate.

    Attributes:
        candidate: What was asked.
        status: "complete", or "failed" with the reason in `failure`.
        metrics: Result of the evaluation; empty if it failed.
        costs: Value of each cost the search watches.
        duration_s: Wall time of the evaluation; the only value that differs between runs with the same seed.
        failure: Text of the failure, empty if there was none.
    """

    candidate: Candidate
    status: Literal["complete", "failed"] = "complete"
    metrics: Metrics = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    duration_s: float = 0.0
    failure: str = ""

    @property
    def number(self) -> int:
        """The candidate's position in ask order."""
        return self.candidate.number

    @property
    def arch(self) -> Arch:
        """The architecture that was evaluated."""
        return self.candidate.arch

    @property
    def is_complete(self) -> bool:
        """Whether the evaluation gave a result; False if it failed."""
        return self.status == "complete"


def of_largest_budget(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that were trained as long as any complete one: scores of shorter trainings do not compare with theirs.

    A candidate without a budget was evaluated in full, which is more than any number of steps.
    """
    listed = list(trials)
    budgets = [_length(trial) for trial in listed if trial.is_complete]
    return [trial for trial in listed if _length(trial) == max(budgets, default=math.inf)]


def _length(trial: Trial) -> float:
    return math.inf if trial.candidate.budget is None else trial.candidate.budget


def derive_seed(*parts: int | str) -> int:
    """A seed below 2**63 from a run's seed and a position in it, e.g. `derive_seed(run_seed, "trial", 7)`.

    Hashed, not added: neighbouring runs and trials must not share random streams.

    >>> derive_seed(0, "trial", 7) == derive_seed(0, "trial", 7) != derive_seed(7, "trial", 0)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
