"""Each candidate trained on its own, from fresh weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.config import check_range, from_json, to_json
from archwright.core.trial import Candidate, Metrics
from archwright.evaluators.base import Evaluator, Work
from archwright.spaces.base import Space
from archwright.spaces.opening import space_blueprint
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import validated
from archwright.training.loop import fit
from archwright.training.networks import build_seeded, train_network
from archwright.training.steps import Scoring


@listed(
    "evaluator",
    "from-scratch",
    summary="trains every candidate from fresh weights and scores it on the validation part",
)
class FromScratch(Evaluator):
    """Builds a candidate with its seed, trains it on the training part, scores it on the validation part.

    Args:
        space: Where candidates come from.
        task: Data, loss and metrics.
        training: How each is trained; a candidate's budget, if it has one, replaces the steps.
        best_of: A candidate's figures are the best after each of so many last epochs, as in NAS with RL; 1 takes those
            of its end.
        device: Where.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        training: TrainingConfig,
        *,
        best_of: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        task.check_taken_by(space)
        check_range("best_of", best_of, 1, 1_000_000)
        self.space, self.task, self.training, self.device = space, task, training, torch.device(device)
        self.best_of = best_of

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [self._evaluate(candidate) for candidate in candidates]

    def model(self, arch: Arch, seed: int) -> nn.Module:
        """The network trained once more: the same seed gives the same weights, so none need be kept."""
        return train_network(self.space, arch, self.task, self.training, part="train", seed=seed, device=self.device)[0]

    def work(self, candidate: Candidate | None = None) -> Work:
        training = self._training(None if candidate is None else candidate.budget)
        n_steps = training.n_steps(self.task.split("train").n)
        return Work(n_steps, training.batch_size, self.task.split("validation").n)

    def blueprint(self, folder: Path) -> Blueprint:
        arguments = {
            "space": space_blueprint(self.space),
            "task": self.task.blueprint(folder),
            "training": to_json(self.training),
            "best_of": self.best_of,
            "device": str(self.device),
        }
        return Blueprint(f"{__name__}:rebuild", arguments)

    def _evaluate(self, candidate: Candidate) -> Metrics:
        training = self._training(candidate.budget)
        network = build_seeded(self.space, candidate.arch, candidate.seed, for_training=True)
        every = self.task.split("train").steps_per_epoch(training.batch_size * training.accumulate)
        is_scored_once = self.best_of == 1 or training.n_steps(self.task.split("train").n) <= every
        scoring = (
            None if is_scored_once else Scoring(every, lambda: validated(network, self.task, training, self.device))
        )
        log = fit(network, self.task, training, part="train", seed=candidate.seed, device=self.device, scoring=scoring)
        if is_scored_once:
            return validated(network, self.task, training, self.device)
        last = [figures for _, figures in log.scores][-self.best_of :]
        sign = 1 if self.task.search_direction == "max" else -1
        return max(last, key=lambda figures: sign * figures[self.task.search_metric])

    def _training(self, budget: int | None) -> TrainingConfig:
        return self.training if budget is None else replace(self.training, steps=budget, epochs=None)


def rebuild(space: Space, task: Task, training: dict[str, Any], best_of: int, device: str) -> FromScratch:
    """The evaluator that a `FromScratch.blueprint` describes.

    Args:
        space: The space of candidates.
        task: Data, loss and metrics.
        training: JSON form of the `TrainingConfig` of each candidate.
        best_of: How many last epochs are scored.
        device: Device to train on.
    """
    return FromScratch(space, task, from_json(TrainingConfig, training), best_of=best_of, device=device)
