"""Training a one-shot model with path dropout and ghost batch norm (Bender et al., ICML 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.policies.base import Policy
from archwright.policies.path_dropout import PathDropout
from archwright.runs.phase import Phase
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.losses import TaskLoss
from archwright.training.sources import ONLY, Now, Source
from archwright.training.steps import run_steps
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.shared import SharedWeights, relaxing


@listed(
    "weight-sharing",
    "dropped-paths",
    summary="all paths of a supernet at once but for some that each ghost batch leaves out",
    source="Bender et al., ICML 2018, PMLR 80:550-559",
)
class DroppedPaths(WeightSharing):
    """Each step runs several ghost batches, each with paths and batch-norm statistics of its own; one update follows.

    Paths that no ghost batch ran get no gradient, so neither decay nor momentum moves them.

    Args:
        training: Steps, batch size, optimizer, schedule.
        ghost: Examples of a ghost batch; None is one for the whole batch. The batch is a multiple of it.

    Raises:
        InvalidValueError: If the batch is not.
    """

    def __init__(self, training: TrainingConfig, ghost: int | None = None) -> None:
        if ghost is not None and (ghost < 1 or training.batch_size % ghost):
            raise InvalidValueError(
                f"ghost is {ghost} and the batch {training.batch_size}; give a divisor of the batch, or None"
            )
        self.training, self.ghost = training, ghost or training.batch_size

    def n_steps(self, task: Task) -> int:
        return self.training.n_steps(task.split("train"))

    def lasting(self, n_steps: int, task: Task) -> DroppedPaths:
        return DroppedPaths(self.training.lasting(n_steps, self.n_steps(task)), self.ghost)

    @property
    def batch_size(self) -> int:
        return self.training.batch_size

    @property
    def is_mixed(self) -> bool:
        return True

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
        if not isinstance(policy, PathDropout):
            raise InvalidValueError(f"{type(policy).__name__} drops no paths; give a PathDropout")
        network, relax = relaxing(shared)
        config = self.training
        n_ghosts = config.batch_size // self.ghost
        split = task.split("train").augmented(parse_augment(config.augment))
        learner = Learner(network, config)
        loss = TaskLoss(network, task, label_smoothing=config.label_smoothing)

        def step(now: Now) -> Tensor:
            losses = []
            for ghost in range(n_ghosts):
                if ghost:
                    now.next_batch()
                relax(policy.paths(now.rng(f"paths{ghost}"), now.progress))
                found = loss(now) / n_ghosts
                learner.backward(found)
                losses.append(found.detach())
            learner.update()
            return torch.stack(losses).sum()

        return run_steps(
            step,
            {ONLY: learner},
            sources={ONLY: Source(split, self.ghost, derive_seed(seed, "batches"))},
            n_steps=self.n_steps(task),
            seed=seed,
            identity={"data": task.fingerprint, "part": "train", "rate": policy.rate, "ghost": self.ghost},
            device=device,
            precision=config.precision,
            channels_last=config.channels_last,
            phase=phase,
        )
