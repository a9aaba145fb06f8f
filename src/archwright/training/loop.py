"""Training one network: every network of every method goes through `fit`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from archwright.core.trial import derive_seed
from archwright.runs.phase import Phase
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Part, Task
from archwright.training.config import TrainingConfig
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.losses import LossOf, TaskLoss
from archwright.training.sources import ONLY, Now, Source
from archwright.training.steps import Scoring, run_steps


def fit(
    network: nn.Module,
    task: Task,
    config: TrainingConfig,
    *,
    part: Part = "train",
    seed: int,
    device: str | torch.device = "cpu",
    before_step: Callable[[int], None] | None = None,
    loss_of: LossOf | None = None,
    scoring: Scoring | None = None,
    phase: Phase | None = None,
) -> TrainingLog:
    """Train a network in place.

    Batches, dropout and whatever `before_step` draws from torch are functions of (seed, step), so a training that was
    interrupted and goes on from its checkpoint ends with the same bits as one that was not. Torch's global random
    state is the same afterwards as before. What moves more than one thing is a step for `run_steps`.

    Args:
        network: Moved to `device` and into the config's layout; in evaluation mode afterwards.
        task: Examples and loss.
        config: Length, optimizer, schedule, precision.
        part: The examples to train on.
        seed: Determines batches and everything random in the network.
        device: Where to train.
        before_step: Called with the number of each step before it, e.g. to activate a path; must not depend on
            earlier calls. Parameters that get no gradient in a step are left alone in it.
        loss_of: The loss of outputs for a batch, in place of the task's, e.g. against a teacher's outputs.
        scoring: Figures to measure on the way; they change no bit of the training.
        phase: Where checkpoints go; an unfinished one is continued, a finished one only loaded.

    Returns:
        The record of the training, of all processes that took part in it.

    Raises:
        DivergedError: If the loss becomes infinite or not a number; names the step.
        RunFolderError: If the checkpoint belongs to other data, another network or another configuration.
        InvalidValueError: If warm-up leaves no step, or the network has no parameters.
    """
    split = task.split(part).augmented(parse_augment(config.augment))
    learner = Learner(network, config)
    loss = TaskLoss(network, task, label_smoothing=config.label_smoothing, loss_of=loss_of)

    def step(now: Now) -> Tensor:
        if before_step is not None:
            before_step(now.number)
        found = loss(now)
        learner.descend(found)
        return found if config.accumulate == 1 else _accumulated(now, found.detach())

    def _accumulated(now: Now, total: Tensor) -> Tensor:
        for _ in range(config.accumulate - 1):
            now.next_batch()
            found = loss(now)
            learner.descend(found)
            total = total + found.detach()
        return total / config.accumulate

    return run_steps(
        step,
        {ONLY: learner},
        sources={ONLY: Source(split, config.batch_size, derive_seed(seed, "batches"))},
        n_steps=config.n_steps(split),
        seed=seed,
        identity={"data": task.fingerprint, "part": part},
        device=device,
        precision=config.precision,
        channels_last=config.channels_last,
        scoring=scoring,
        phase=phase,
    )
