"""Two networks against each other: a generator of pictures, and a discriminator of pairs that it learns to deceive."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.inputs import call
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.sources import ONLY, Now, Source
from archwright.training.steps import run_steps


class Adversaries:
    """A generator and a discriminator, a learner each, that move in turn in every step.

    The discriminator tells true pairs of input and target from those the generator makes; the generator follows the
    task's loss and the discriminator's opinion (as in pix2pix, Isola et al., 2017).

    Args:
        generator: From a task's inputs to something like its targets.
        discriminator: From both, joined along the channels, to scores of truth.
        task: Pairs, and a loss.
        config: Of either learner.
        weight: Of the discriminator's opinion.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, task: Task, config: TrainingConfig, weight: float = 0.1
    ) -> None:
        self.generator, self.discriminator, self.task, self.config = generator, discriminator, task, config
        self.weight = weight
        self.learners = {"generator": Learner(generator, config), "discriminator": Learner(discriminator, config)}

    def step(self, now: Now) -> dict[str, Tensor]:
        """The discriminator moves by what the generator makes, then the generator by what it is told of that."""
        batch = now.batch()
        with now.forward():
            made = call(self.generator, batch.inputs)
            truth = self._opinion(batch.inputs, batch.targets, True) + self._opinion(batch.inputs, made.detach(), False)
        self.learners["discriminator"].descend(truth)
        with now.forward():
            likeness = self.task.loss(made, batch) + self.weight * self._opinion(batch.inputs, made, True)
        self.learners["generator"].descend(likeness)
        return {"generator": likeness, "discriminator": truth}

    def fit(self, *, seed: int, phase: Any = None) -> TrainingLog:
        """Train both on the training part; a phase keeps checkpoints, and an unfinished one is continued."""
        split = self.task.split("train")
        return run_steps(
            self.step,
            self.learners,
            sources={ONLY: Source(split, self.config.batch_size, seed)},
            n_steps=self.config.n_steps(split.n),
            seed=seed,
            identity={"data": self.task.fingerprint},
            phase=phase,
        )

    def _opinion(self, inputs: Any, pictures: Tensor, is_true: bool) -> Tensor:
        """How far the discriminator is from calling pairs true, or false."""
        scores = self.discriminator(torch.cat([inputs, pictures], dim=1))
        wanted = torch.full_like(scores, float(is_true))
        return F.binary_cross_entropy_with_logits(scores, wanted)
