"""The log of a training: its loss curve and its length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from archwright.core.errors import DivergedError

N_POINTS = 100
"""Points of a loss curve, at most."""


Curve = tuple[tuple[int, float], ...]
"""Pairs (steps done, mean training loss since the pair before)."""

Scores = tuple[tuple[int, Mapping[str, float]], ...]
"""Pairs (steps done, figures by name)."""


@dataclass(frozen=True)
class TrainingLog:
    """Record of one training.

    Attributes:
        steps: Steps done.
        curve: Of the loss; of the first one, where a step gives several.
        final_loss: Mean of that loss in the last interval; not a number where no step gave any.
        seconds: Wall time over all processes that took part; outside the same-seed promise.
        curves: All of them by name, where a step gives several losses; else empty.
        scores: What a `Scoring` found on the way.
    """

    steps: int
    curve: Curve
    final_loss: float
    seconds: float
    curves: Mapping[str, Curve] = field(default_factory=dict)
    scores: Scores = ()

    def to_json(self) -> dict[str, Any]:
        """As checkpoints keep it; `final_loss` is the last point of the curve."""
        document: dict[str, Any] = {"steps": self.steps, "curve": _points(self.curve), "seconds": self.seconds}
        if self.curves:
            document["curves"] = {name: _points(curve) for name, curve in self.curves.items()}
        return document | ({"scores": [[step, dict(found)] for step, found in self.scores]} if self.scores else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainingLog:
        """The log that `to_json` gave."""
        curve = _curve(document["curve"])
        curves = {name: _curve(points) for name, points in document.get("curves", {}).items()}
        final_loss = curve[-1][1] if curve else math.nan
        scores = scores_from_json(document.get("scores", []))
        return cls(int(document["steps"]), curve, final_loss, float(document["seconds"]), curves, scores)


def scores_from_json(document: Iterable[Any]) -> Scores:
    """The scores in the JSON of a log or a checkpoint."""
    return tuple((int(step), {name: float(value) for name, value in found.items()}) for step, found in document)


def _points(curve: Curve) -> list[list[float]]:
    return [list(point) for point in curve]


def _curve(points: Iterable[Any]) -> Curve:
    return tuple((int(step), float(loss)) for step, loss in points)


def broken_loss(loss: float, step: int, n_steps: int, of: str = "") -> DivergedError:
    """The error for a loss that is infinite or not a number.

    Args:
        loss: What it is.
        step: Where, from 0.
        n_steps: Of the training.
        of: Name of the learner, or of the loss; empty for the only one.
    """
    return DivergedError(
        f"the training loss{f' of {of}' if of else ''} is {loss} at step {step} of {n_steps}; "
        "lower learning_rate, add warmup_steps or set clip_norm"
    )


class LossRecorder:
    """Collects the losses of steps into a curve, and stops a training whose loss is infinite or not a number.

    Args:
        n_steps: Steps of the training.
        read_every: Steps between looks at the losses. 1 where looking is free (CPU); on a GPU a look waits for it.
        name: Of the loss; empty for the only one.
    """

    def __init__(self, n_steps: int, read_every: int = 1, name: str = "") -> None:
        self._n_steps, self._read_every, self._name = n_steps, read_every, name
        self._interval = max(1, math.ceil(n_steps / N_POINTS))
        self._pending: list[tuple[int, Tensor]] = []
        self._done, self._sum, self._count = 0, 0.0, 0
        self.curve: list[tuple[int, float]] = []
        self.last = math.nan

    def add(self, loss: Tensor, step: int) -> None:
        """Add the loss of a step (counted from 0); a step may have none.

        Raises:
            DivergedError: If it, or one that was not looked at yet, is infinite or not a number; names the step.
        """
        self._pending.append((step, loss.detach()))
        if len(self._pending) >= self._read_every:
            self.read()

    def read(self) -> None:
        """Read the values of the losses that are pending."""
        if self._pending:
            pending, self._pending = self._pending, []
            losses = [loss for _, loss in pending]
            values = torch.stack(losses).tolist() if len(losses) > 1 else [losses[0].item()]
            for (step, _), value in zip(pending, values, strict=True):
                self._take(step, value)

    def _take(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise broken_loss(loss, step, self._n_steps, self._name)
        if self._count and step >= (end := self._end_of(self._done - 1)):  # the interval's last steps gave no loss
            self._close(end)
        self._done, self._sum, self._count, self.last = step + 1, self._sum + loss, self._count + 1, loss
        if self._done % self._interval == 0 or self._done == self._n_steps:
            self._close(self._done)

    def _end_of(self, step: int) -> int:
        """Steps done at the end of the interval a step belongs to."""
        return min((step // self._interval + 1) * self._interval, self._n_steps)

    def _close(self, end: int) -> None:
        self.curve.append((end, self._sum / self._count))
        self._sum, self._count = 0.0, 0

    def finished(self) -> Curve:
        """The curve of a training that is complete."""
        self.read()
        if self._count:
            self._close(self._end_of(self._done - 1))
        return tuple(self.curve)

    def state(self) -> dict[str, Any]:
        """The state so far, as JSON."""
        self.read()
        return {"done": self._done, "sum": self._sum, "count": self._count, "curve": [list(p) for p in self.curve]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` gave."""
        self._done, self._sum, self._count = int(state["done"]), float(state["sum"]), int(state["count"])
        self.curve = [(int(step), float(loss)) for step, loss in state["curve"]]
