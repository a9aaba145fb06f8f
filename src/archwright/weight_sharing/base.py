"""The contract of weight sharing: train one set of weights for many architectures."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from archwright.policies.base import Policy
from archwright.runs.phase import Phase
from archwright.tasks.base import Task
from archwright.training.log import TrainingLog


class WeightSharing(ABC):
    """A way to train a supernet."""

    @abstractmethod
    def n_steps(self, task: Task) -> int:
        """Optimizer steps of a training on that task."""

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Examples of a step."""

    @abstractmethod
    def fit(
        self,
        supernet: nn.Module,
        policy: Policy,
        task: Task,
        *,
        seed: int,
        device: str | torch.device = "cpu",
        phase: Phase | None = None,
    ) -> TrainingLog:
        """Train a supernet in place for the archs the policy draws.

        Args:
            supernet: Made by `Space.supernet()`.
            policy: Which archs, how often.
            task: Data and loss; its training part is used.
            seed: Of archs, batches and everything random in the network.
            device: Where.
            phase: Checkpoints; an unfinished phase is continued to the same end, a finished one is loaded.
        """
