"""The contract of an evaluator: candidates in, metrics out. It never decides what to try."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.errors import UsageError
from archwright.core.trial import Candidate, Metrics


@dataclass(frozen=True)
class Work:
    """The work of one evaluation.

    Attributes:
        n_steps: Optimizer steps.
        batch_size: Examples of a step.
        n_scored: Examples that a network only runs on, for statistics and for metrics.
    """

    n_steps: int = 0
    batch_size: int = 0
    n_scored: int = 0

    @property
    def n_trained(self) -> int:
        """Examples that are trained on."""
        return self.n_steps * self.batch_size


class Evaluator(ABC):
    """Scores candidates.

    The metrics of a candidate depend on itself (arch, seed, budget) alone, bit for bit, never on the others of
    its population: a search that is interrupted within a population and goes on must see the same figures. Where
    candidates inherit weights, "itself" includes the trials that it descends from.

    Attributes:
        chunk: How many candidates one call should be given; what is lost when a run is killed is one chunk.
    """

    chunk: ClassVar[int] = 1

    @abstractmethod
    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        """One set of metrics a candidate, in the same order."""

    def model(self, arch: Arch, seed: int) -> nn.Module:
        """A trained stand-alone network of an arch, with the weights this evaluator scores it by.

        Args:
            arch: A member of the space.
            seed: The candidate's seed.

        Raises:
            UsageError: If it scores without a network, as a table does.
        """
        raise UsageError(f"evaluator {type(self).__name__} scores without a network; train one from scratch")

    def within(self, search: str) -> Evaluator:
        """The evaluator for one search of a run: one that keeps things by trial keeps those of each search apart.

        Args:
            search: The search's name in the run.
        """
        return self

    def work(self, candidate: Candidate | None = None) -> Work:
        """The work of an evaluation, for budgets and for the estimate of time.

        Args:
            candidate: Which; None stands for one without a budget of its own.
        """
        return Work()

    def blueprint(self, folder: Path) -> Blueprint:
        """A description from which a worker process makes an equal evaluator, with the same figures to the bit.

        Args:
            folder: Where what is too large for a message may be put, such as weights; it lives as long as the workers.

        Raises:
            UsageError: If that cannot be told, as for an evaluator that holds objects of this process.
        """
        raise UsageError(
            f"evaluator {type(self).__name__} does not say how other processes make it (it has no method `blueprint`); "
            "use one worker"
        )
