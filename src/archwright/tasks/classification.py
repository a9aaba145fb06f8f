"""Tasks that put each input into one of several classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from archwright.core.errors import InvalidValueError
from archwright.tasks.base import Batch, Meter, Task
from archwright.tasks.recording import ClassificationRecorder, guesses


class ClassificationMeter(Meter):
    """Accuracies as fractions, and the mean cross-entropy without label smoothing.

    `top1_accuracy`, `loss`, and for more than five classes `top5_accuracy`. An example whose loss is not
    finite (a network that diverged) counts as wrong, whatever class its outputs happen to name.
    """

    def __init__(self, n_classes: int) -> None:
        self._n_classes = n_classes
        self._sums = torch.zeros(3, dtype=torch.float64)  # right first guesses, right within the top, loss
        self._n = 0

    def update(self, outputs: Tensor, batch: Batch) -> None:
        targets = batch.targets
        scores = outputs.detach().float()
        losses = functional.cross_entropy(scores, targets, reduction="none")
        right = (guesses(scores, self._n_classes) == targets[:, None]) & losses.isfinite()[:, None]
        # One small tensor a batch, added on its own device: nothing waits for a GPU before `result`.
        sums = torch.stack([right[:, 0].sum().double(), right.sum().double(), losses.double().sum()])
        self._sums = self._sums.to(sums.device) + sums
        self._n += len(targets)

    def result(self) -> dict[str, float]:
        if not self._n:
            raise InvalidValueError("no example was measured; give the meter at least one batch")
        first, top, loss = (self._sums / self._n).tolist()
        metrics = {"top1_accuracy": first, "loss": loss}
        return metrics | {"top5_accuracy": top} if self._n_classes > 5 else metrics


class ClassificationTask(Task):
    """Base of tasks with integer targets (B,) and one output a class (B, n_classes)."""

    n_classes: int

    def loss(self, outputs: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy against targets of 1 - s on the class and s spread over all classes."""
        return functional.cross_entropy(outputs, batch.targets, label_smoothing=label_smoothing)

    def meter(self) -> ClassificationMeter:
        return ClassificationMeter(self.n_classes)

    def recorder(self) -> ClassificationRecorder:
        return ClassificationRecorder(self.n_classes, self.preprocessing)
