"""What the two ways to train a controller share: REINFORCE's loss, and the moving average it subtracts from rewards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from archwright.core.decisions import Rows
from archwright.policies.learned import LearnedPolicy


def reinforce_loss(policy: LearnedPolicy, rows: Rows, advantages: Tensor, *, entropy: float = 0.0) -> Tensor:
    """What REINFORCE descends: minus the mean of advantage times log-probability, less an entropy bonus.

    Args:
        policy: Drew the rows.
        rows: (n, n_decisions).
        advantages: (n,) rewards less a baseline that does not depend on them.
        entropy: Weight of the bonus.
    """
    log_prob = policy.log_prob(rows)
    loss = -(advantages.to(log_prob) * log_prob).mean()
    return loss - entropy * policy.entropy(rows).mean() if entropy else loss


class Baseline:
    """A moving average of rewards, which checkpoints may keep.

    Args:
        decay: Share of the average that stays, in [0, 1).
    """

    def __init__(self, decay: float) -> None:
        self.decay, self.value = decay, math.nan

    def before(self, reward: float) -> float:
        """The average before this reward, which then enters it; the first reward stands for itself.

        Args:
            reward: Of a batch, on average.
        """
        if math.isnan(self.value):
            self.value = reward
            return reward
        kept = self.value
        self.value = self.decay * kept + (1 - self.decay) * reward
        return kept

    def tensors(self) -> dict[str, Tensor]:
        """The average, for a checkpoint."""
        return {"value": torch.tensor(self.value, dtype=torch.float64)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` gave."""
        self.value = float(tensors["value"])

    def state(self) -> None:
        """Nothing beside the tensor."""

    def load_state(self, state: Any) -> None:
        """Nothing beside the tensor."""
