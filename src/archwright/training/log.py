"""What a training leaves for people and reports: its loss curve and its length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from archwright.core.errors import RunError

N_POINTS = 100
"""Points of a loss curve, at most."""


@dataclass(frozen=True)
class TrainingLog:
    """Record of one training.

    Attributes:
        steps: Optimizer steps done.
        curve: Pairs (steps done, mean training loss since the pair before).
        final_loss: Mean training loss of the last interval.
        seconds: Wall time over all processes that took part; outside the same-seed promise.
    """

    steps: int
    curve: tuple[tuple[int, float], ...]
    final_loss: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {"steps": self.steps, "curve": [list(point) for point in self.curve], "seconds": self.seconds}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainingLog:
        curve = tuple((int(step), float(loss)) for step, loss in document["curve"])
        return cls(int(document["steps"]), curve, curve[-1][1], float(document["seconds"]))


class LossRecorder:
    """Gathers the loss of each step into a curve, and stops a training whose loss is no number.

    Args:
        n_steps: Steps of the training.
        read_every: Steps between looks at the losses. 1 where looking is free (CPU); on a GPU a look waits for it.
    """

    def __init__(self, n_steps: int, read_every: int = 1) -> None:
        self._n_steps, self._read_every = n_steps, read_every
        self._interval = max(1, math.ceil(n_steps / N_POINTS))
        self._pending: list[Tensor] = []
        self._done, self._sum, self._count = 0, 0.0, 0
        self.curve: list[tuple[int, float]] = []
        self.last = math.nan

    def add(self, loss: Tensor) -> None:
        """Take in the loss of the next step.

        Raises:
            RunError: If it, or one that was not looked at yet, is infinite or not a number; names the step.
        """
        self._pending.append(loss.detach())
        if len(self._pending) >= self._read_every:
            self.read()

    def read(self) -> None:
        """Look at the losses that were not looked at yet."""
        if self._pending:
            losses = torch.stack(self._pending).tolist() if len(self._pending) > 1 else [self._pending[0].item()]
            self._pending.clear()
            for loss in losses:
                self._take(loss)

    def _take(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"the training loss is {loss} at step {self._done} of {self._n_steps}; "
                "lower learning_rate, add warmup_steps or set clip_norm"
            )
        self._done, self._sum, self._count, self.last = self._done + 1, self._sum + loss, self._count + 1, loss
        if self._done % self._interval == 0 or self._done == self._n_steps:
            self.curve.append((self._done, self._sum / self._count))
            self._sum, self._count = 0.0, 0

    def log(self, seconds: float) -> TrainingLog:
        """The record of a training that is complete."""
        self.read()
        return TrainingLog(self._done, tuple(self.curve), self.curve[-1][1], seconds)

    def state(self) -> dict[str, Any]:
        """Everything so far, as JSON."""
        self.read()
        return {"done": self._done, "sum": self._sum, "count": self._count, "curve": [list(p) for p in self.curve]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._done, self._sum, self._count = int(state["done"]), float(state["sum"]), int(state["count"])
        self.curve = [(int(step), float(loss)) for step, loss in state["curve"]]
