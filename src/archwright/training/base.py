"""What the training loop needs from a run: the phase that keeps its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor


class Phase(Protocol):
    """A stretch of a run that can be interrupted and resumed; `archwright.runs` has the real one."""

    @property
    def is_done(self) -> bool:
        """Whether the phase was finished, now or in an earlier process."""

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""

    def restore(self) -> tuple[dict[str, Tensor], Any] | None:
        """Tensors and JSON state of the last checkpoint, or of the finish; None at the start."""

    def checkpoint(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Replace the checkpoint, atomically."""

    def finish(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Mark the phase done, with what it leaves behind."""

    def advance(self, done: int, **figures: float | str) -> None:
        """Tell how far the phase is, and figures for people to watch."""
