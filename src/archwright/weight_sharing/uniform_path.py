"""Single-path training: one architecture a step, drawn from a policy (Guo et al., 2020, Sec. 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from archwright.core.trial import derive_seed
from archwright.nn.choice import selection_of
from archwright.policies.base import Policy
from archwright.runs.phase import Phase
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.log import TrainingLog
from archwright.training.loop import fit
from archwright.weight_sharing.base import WeightSharing


class UniformPath(WeightSharing):
    """Every step activates one arch of the policy and trains only its weights.

    Weights that do not take part in a step get no gradient, so neither momentum nor decay moves them, as in the
    released code. An elastic layer takes part as a whole: the entries outside its active slice have a gradient of
    zero, so that decay and what momentum they have left go on moving them, as in the released code of once-for-all
    (Cai et al., ICLR 2020), whose layers slice their weights too.

    Args:
        training: Steps, optimizer, schedule.
    """

    def __init__(self, training: TrainingConfig) -> None:
        self.training = training

    def n_steps(self, task: Task) -> int:
        return self.training.n_steps(task.split("train").n)

    @property
    def batch_size(self) -> int:
        return self.training.batch_size

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
        selection = selection_of(supernet)
        n_steps = self.n_steps(task)
        # all paths are drawn beforehand: what step k trains then does not depend on where the training was resumed
        rows = policy.draw(n_steps, np.random.default_rng(derive_seed(seed, "paths")))

        def choose_path(step: int) -> None:
            selection.activate_row(rows[step])

        return fit(
            supernet, task, self.training, part="train", seed=seed, device=device, before_step=choose_path, phase=phase
        )
