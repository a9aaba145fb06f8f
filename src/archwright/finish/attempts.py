"""A final training that diverges is tried once more, at a tenth of the rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

from archwright.core.errors import DivergedError
from archwright.runs.phase import Phase
from archwright.runs.run import Run
from archwright.training.config import TrainingConfig

SLOWER = 0.1
"""Factor of the second attempt's rate."""

AGAIN = "-again"
_DIVERGED = "diverged"

T = TypeVar("T")


class Attempt(NamedTuple):
    """A training to be executed.

    Attributes:
        config: With the rate of this attempt.
        phase: Keeps its checkpoints.
    """

    config: TrainingConfig
    phase: Phase


def attempted(
    run: Run, name: str, config: TrainingConfig, train: Callable[[Attempt], T], *, total: int
) -> tuple[T, int]:
    """What a final training gives, and the number of attempts it took: 1 or 2.

    The second begins where the first diverged, in a phase of its own, once it is stored that the first one did; a run
    that was killed meanwhile goes on with the second. So the winner of a long search is not lost to one number.

    Args:
        run: Where it happens.
        name: Of the phase.
        config: Of the training.
        train: Executes an attempt.
        total: Its steps.

    Raises:
        DivergedError: If both diverge.
    """
    with run.phase(name, total=total) as phase:
        if not _has_diverged(phase):
            try:
                return train(Attempt(config, phase)), 1
            except DivergedError as error:
                phase.finish(state={_DIVERGED: str(error)})
                run.log(f"{name}: {error}; tried again at {SLOWER:g} of the rate")
    slower = replace(
        config,
        learning_rate=config.learning_rate * SLOWER,
        warmup_from=config.warmup_from * SLOWER,
        final_learning_rate=config.final_learning_rate * SLOWER,
    )
    with run.phase(name + AGAIN, total=total) as phase:
        return train(Attempt(slower, phase)), 2


def last_attempt(run: Run, name: str) -> str:
    """The phase that holds the outcome of a training of that name."""
    return name + AGAIN if _has_diverged(run.phase(name)) else name


def _has_diverged(phase: Phase) -> bool:
    outcome = phase.result
    return isinstance(outcome, dict) and _DIVERGED in outcome
