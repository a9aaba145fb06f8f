"""A teacher whose outputs archs learn from (Hinton et al., 2015, arXiv:1503.02531), as in once-for-all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archwright.core.arch import Arch, Value
from archwright.core.config import check_range
from archwright.nn.inputs import call
from archwright.tasks.base import Batch, Task
from archwright.training.losses import TaskLoss
from archwright.training.sources import Now

Teacher = nn.Module | Mapping[str, Value]
"""A trained network, or an arch of the weights being trained, such as the largest."""


@dataclass(frozen=True)
class DistillationConfig:
    """How much of the loss is the teacher's.

    Attributes:
        share: Weight of the distillation loss in [0, 1]; the task's loss has the rest.
        temperature: Divides the logits of both sides; the loss is multiplied by its square.
    """

    share: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_range("distillation.share", self.share, 0.0, 1.0)
        check_range("distillation.temperature", self.temperature, 1e-3, 1e3)


def soft_loss(outputs: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean cross-entropy of outputs against the softmax of a teacher's, times the square of the temperature.

    Args:
        outputs: Logits (…, n_classes).
        targets: The teacher's, of the same shape.
        temperature: Divides both.
    """
    soft = (targets.detach() / temperature).softmax(-1)
    return -(soft * (outputs / temperature).log_softmax(-1)).sum(-1).mean() * temperature**2


class Distilled:
    """The loss of the network against the task and a teacher.

    Args:
        network: What is trained.
        task: Whose loss is the other part.
        teacher: A network, which runs in evaluation mode, or an arch of the network itself, which runs as it is
            trained: with the statistics of the batch.
        config: The parts.
        label_smoothing: Of the task's part.
        activate: Runs an arch from now on; needed where the teacher is one.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        teacher: Teacher,
        config: DistillationConfig,
        *,
        label_smoothing: float,
        activate: Callable[[Mapping[str, Value]], None],
    ) -> None:
        self._task, self._teacher, self._config, self._smoothing = task, teacher, config, label_smoothing
        self._activate = activate
        self._targets: Tensor | None = None
        self.of_network = TaskLoss(network, task, loss_of=self._loss)
        # its loss is not used, but a pass of a network that is trained has an order: schedules, streams, added losses
        self._pass = TaskLoss(network, task, loss_of=self._keep)

    @torch.no_grad()
    def look(self, now: Now) -> None:
        """Ask the teacher about the step's batch; another arch may be active afterwards."""
        self._targets = None
        if isinstance(self._teacher, nn.Module):
            with now.forward():
                self._targets = call(self._teacher, now.batch().inputs)
        else:
            self._activate(self._teacher)
            self._pass(now)

    def _keep(self, outputs: Any, batch: Batch) -> Tensor:
        if self._targets is None:  # what comes later is of auxiliary heads
            self._targets = outputs
        return torch.zeros(())

    def _loss(self, outputs: Any, batch: Batch) -> Tensor:
        assert self._targets is not None  # look comes first
        share = self._config.share
        hard = self._task.loss(outputs, batch, label_smoothing=self._smoothing)
        return (1 - share) * hard + share * soft_loss(outputs, self._targets, self._config.temperature)


def described(teacher: Teacher) -> Any:
    """What tells a teacher from another, as JSON."""
    if not isinstance(teacher, nn.Module):
        return Arch(teacher).to_json()
    digest = hashlib.sha256()
    for name, tensor in teacher.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"{type(teacher).__name__} {digest.hexdigest()[:12]}"
