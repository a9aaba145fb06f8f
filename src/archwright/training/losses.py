"""The loss of a network as a training takes it: the task's, and what parts of the network add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from archwright.nn.added_losses import AddedLosses
from archwright.nn.drop_path import DropPathSchedule
from archwright.nn.inputs import call
from archwright.tasks.base import Batch, Task
from archwright.training.sources import ONLY, Now

LossOf = Callable[[Any, Batch], Tensor]
"""The loss of outputs for a batch; it sees the inputs too, as a teacher needs."""


class TaskLoss:
    """The loss of a network on a step's batch: one forward pass, in the training's precision, along its source.

    Args:
        network: In training mode while it is trained.
        task: Its loss is taken.
        label_smoothing: See `Task.loss`.
        loss_of: Taken in place of the task's loss.
    """

    def __init__(
        self, network: nn.Module, task: Task, *, label_smoothing: float = 0.0, loss_of: LossOf | None = None
    ) -> None:
        self._network, self._task, self._smoothing, self._loss_of = network, task, label_smoothing, loss_of
        self._added, self._drop_paths = AddedLosses(network), DropPathSchedule(network)

    def __call__(self, now: Now, source: str = ONLY) -> Tensor:
        """The loss, a scalar with gradients.

        Args:
            now: The step.
            source: Whose batch.
        """
        batch = now.batch(source)
        self._drop_paths.set_progress(now.progress)

        def loss_of(outputs: Any) -> Tensor:
            if self._loss_of is not None:
                return self._loss_of(outputs, batch)
            return self._task.loss(outputs, batch, label_smoothing=self._smoothing)

        with now.stream(source), now.forward():
            loss = loss_of(call(self._network, batch.inputs))
            if (added := self._added.take(loss_of)) is not None:
                loss = loss + added
        return loss
