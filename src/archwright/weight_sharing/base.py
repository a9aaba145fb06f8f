"""The contract of weight sharing: train one set of weights for many architectures."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from archwright.policies.base import Policy
from archwright.runs.phase import Phase
from archwright.tasks.base import Task
from archwright.training.log import TrainingLog
from archwright.weight_sharing.shared import SharedWeights

WEIGHTS = "weights"
"""Name of the learner of shared weights, where a training has others beside it."""


class WeightSharing(ABC):
    """A way to train shared weights."""

    @abstractmethod
    def n_steps(self, task: Task) -> int:
        """Optimizer steps of a training on that task."""

    @abstractmethod
    def lasting(self, n_steps: int, task: Task) -> WeightSharing:
        """The same training in another number of steps.

        Args:
            n_steps: How many.
            task: What it trains for.
        """

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Examples in the batch of a step."""

    @property
    def is_mixed(self) -> bool:
        """Whether a step runs a mixture of archs, which costs as much as all of them; by default one arch at a time."""
        return False

    def n_passes(self, task: Task) -> int:
        """Forward and backward passes of a training; by default one a step. Budgets are compared by them.

        Args:
            task: What it trains for.
        """
        return self.n_steps(task)

    @abstractmethod
    def fit(
        self,
        shared: SharedWeights | nn.Module,
        policy: Policy,
        task: Task,
        *,
        seed: int,
        device: str | torch.device = "cpu",
        phase: Phase | None = None,
    ) -> TrainingLog:
        """Train shared weights in place for the archs the policy draws.

        Args:
            shared: The weights; a supernet made by `Space.supernet()` stands for its own.
            policy: Which archs, how often.
            task: Data and loss; its training part is used.
            seed: Of archs, batches and everything random in the network.
            device: Where.
            phase: Checkpoints; an unfinished phase is continued to the same end, a finished one is loaded.
        """
