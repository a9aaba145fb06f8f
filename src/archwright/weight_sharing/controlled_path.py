"""Shared weights and a controller trained in turn (ENAS: Pham et al., ICML 2018, arXiv:1802.03268)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, RunError
from archwright.core.trial import derive_seed
from archwright.policies.anchors import AnchorController
from archwright.policies.base import Policy
from archwright.policies.gradient import Baseline, reinforce_loss
from archwright.policies.learned import LearnedPolicy
from archwright.runs.phase import Phase
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Batch, Task
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.losses import TaskLoss
from archwright.training.sources import Now, Source
from archwright.training.steps import run_steps
from archwright.weight_sharing.base import WEIGHTS, WeightSharing
from archwright.weight_sharing.shared import SharedWeights, opened

Factor = Callable[[Rows], NDArray[np.float64]]

CONTROLLER, TRAIN, VALIDATION = "controller", "train", "validation"


ADAM = OptimizerConfig(optimizer="adam", learning_rate=1e-3, betas=(0.0, 0.999), eps=1e-3, schedule="constant")
"""Of controllers in ENAS's released code; the rate is that of the macro search."""


@dataclass(frozen=True)
class ControllerConfig:
    """How a controller is trained beside shared weights; by default as in ENAS's released macro search.

    Attributes:
        optimizer: Of its parameters.
        every: Steps of the weights before it has its turn; None is one pass over the training part.
        steps: Its steps in each turn.
        children: Architectures of a step; each is scored on the same batch of the validation part.
        entropy: Weight of the entropy that is added to the reward.
        baseline_decay: Of the moving average of rewards, which begins with those of the first step.
        skip_target: Wanted share of skip connections, of a controller with anchors.
        skip_weight: Weight of the Kullback-Leibler divergence from it; 0 leaves it out.
        scale: The reward of a metric that is better the smaller it is, such as perplexity, is this divided by it.
    """

    optimizer: OptimizerConfig = ADAM
    every: int | None = None
    steps: int = 50
    children: int = 20
    entropy: float = 1e-4
    baseline_decay: float = 0.99
    skip_target: float = 0.4
    skip_weight: float = 0.8
    scale: float = 80.0

    def __post_init__(self) -> None:
        if self.every is not None:
            check_range("controller.every", self.every, 1, 10**9)
        check_range("controller.steps", self.steps, 1, 10**9)
        check_range("controller.children", self.children, 1, 100_000)
        check_range("controller.entropy", self.entropy, 0, 1e6)
        check_range("controller.skip_weight", self.skip_weight, 0, 1e6)
        check_range("controller.scale", self.scale, 1e-9, 1e9)
        if not 0 < self.skip_target < 1:
            raise InvalidValueError(f"controller.skip_target is {self.skip_target}; give a number between 0 and 1")
        if not 0 <= self.baseline_decay < 1:
            raise InvalidValueError(f"controller.baseline_decay is {self.baseline_decay}; give 0 to below 1")


@listed(
    "weight-sharing",
    "controlled-path",
    summary="weights on paths that a controller draws, and the controller on rewards of validation batches, in turn",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
class ControlledPath(WeightSharing):
    """ENAS: some steps of the weights, each on one arch that the controller draws, then some of the controller.

    A step of the controller draws architectures, scores each on the same validation batch with the shared weights as
    they are in training (batch norms by the batch), and follows REINFORCE with a moving-average baseline; the entropy
    shapes the reward, as in the released code. The divergence of skip connections is that of the probability they are
    drawn by, from the target; the released code has it of sigmoid(q), which is not the one it draws by.

    Args:
        training: Of the weights: steps, optimizer, schedule; the controller's steps come to them.
        controller: Of the controller.
        factor: Gives factors (n,) of the rewards of rows, such as how far they keep a limit.
    """

    def __init__(
        self, training: TrainingConfig, controller: ControllerConfig | None = None, factor: Factor | None = None
    ) -> None:
        self.training, self.controller, self.factor = training, controller or ControllerConfig(), factor

    def n_steps(self, task: Task) -> int:
        n_weights, every = self._lengths(task)
        return n_weights + math.ceil(n_weights / every) * self.controller.steps

    def lasting(self, n_steps: int, task: Task) -> ControlledPath:
        n_weights, every = self._lengths(task)
        n_controlled = n_steps * (1 - n_weights / self.n_steps(task))
        n, every, steps = _shared_out(n_steps, n_controlled, math.ceil(n_weights / every))
        training = self.training.lasting(n, n_weights)
        return ControlledPath(training, replace(self.controller, every=every, steps=steps), self.factor)

    @property
    def batch_size(self) -> int:
        return self.training.batch_size

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
        if not isinstance(policy, LearnedPolicy):
            raise InvalidValueError(
                f"{type(policy).__name__} does not learn, and a controlled path trains its policy; give a Controller, "
                "an AnchorController or a Categorical"
            )
        network, activate, _ = opened(shared)
        config, n_steps = self.training, self.n_steps(task)
        n_weights, every = self._lengths(task)
        split = task.split("train").augmented(parse_augment(config.augment))
        weights = Learner(network, config, n_updates=n_weights)
        learner = Learner(policy, self.controller.optimizer, n_updates=n_steps - n_weights)
        loss = TaskLoss(network, task, label_smoothing=config.label_smoothing)
        baseline = Baseline(self.controller.baseline_decay)
        turn = every + self.controller.steps

        def step(now: Now) -> Mapping[str, Tensor]:
            n_turns, place = divmod(now.number, turn)
            if place < every and n_turns * every + place < n_weights:
                activate(policy.draw(1, now.rng("paths"))[0])
                found = loss(now, TRAIN)
                weights.descend(found)
                return {WEIGHTS: found.detach()}
            rows = policy.draw(self.controller.children, now.rng("children"))
            rewards = self._rewards(network, activate, rows, task, now)
            found = self._controller_loss(policy, rows, rewards, baseline)
            learner.descend(found)
            return {CONTROLLER: found.detach()}

        return run_steps(
            step,
            {WEIGHTS: weights, CONTROLLER: learner},
            sources={
                TRAIN: Source(split, config.batch_size, derive_seed(seed, "batches")),
                VALIDATION: Source(task.split("validation"), config.batch_size, derive_seed(seed, "validation")),
            },
            n_steps=n_steps,
            seed=seed,
            identity={"data": task.fingerprint, "part": "train", "controller": _plain(self.controller)},
            device=device,
            precision=config.precision,
            channels_last=config.channels_last,
            stateful={"baseline": baseline},
            phase=phase,
        )

    def _lengths(self, task: Task) -> tuple[int, int]:
        """Steps of the weights in all, and in each turn."""
        split = task.split("train")
        n = self.training.n_steps(split)
        every = self.controller.every or max(1, split.steps_per_epoch(self.training.batch_size))
        return n, min(n, every)

    @torch.no_grad()
    def _rewards(self, network: nn.Module, activate: Any, rows: Rows, task: Task, now: Now) -> Tensor:
        """(n,) the metric of each arch on the step's validation batch, larger is better."""
        batch: Batch = now.batch(VALIDATION)
        found = []
        for row in rows:
            activate(row)
            meter = task.search_meter()
            with now.stream(VALIDATION), now.forward():
                meter.measure(network, batch)
            found.append(meter.result()[task.search_metric])
        if task.search_direction == "min":
            found = [self.controller.scale / value if value else math.inf for value in found]
        if not np.isfinite(found).all():
            raise RunError(
                f"the reward of an architecture is {next(v for v in found if not math.isfinite(v))} at step "
                f"{now.number}; lower the learning rate of the weights, or set controller.scale"
            )
        return torch.tensor(found if self.factor is None else (np.array(found) * self.factor(rows)).tolist())

    def _controller_loss(self, policy: LearnedPolicy, rows: Rows, rewards: Tensor, baseline: Baseline) -> Tensor:
        if self.controller.entropy:
            rewards = rewards + self.controller.entropy * policy.entropy(rows).detach()
        loss = reinforce_loss(policy, rows, rewards - baseline.before(float(rewards.mean())))
        if self.controller.skip_weight and isinstance(policy, AnchorController):
            loss = loss + self.controller.skip_weight * skip_divergence(
                policy.skip_chances(rows), self.controller.skip_target
            )
        return loss


def _shared_out(n_steps: int, n_controlled: float, n_turns: int) -> tuple[int, int, int]:
    """Steps of the weights, those of each turn, and the controller's in each: together exactly `n_steps`.

    There are as many turns as before, or fewer where the steps do not divide otherwise.
    """
    for turns in range(min(n_turns, n_steps // 2), 0, -1):
        steps = max(1, round(n_controlled / turns))
        n = n_steps - turns * steps
        if n >= turns and math.ceil(n / math.ceil(n / turns)) == turns:
            return n, math.ceil(n / turns), steps
    return 1, 1, max(1, n_steps - 1)


def skip_divergence(chances: Tensor, target: float) -> Tensor:
    """Mean Kullback-Leibler divergence of the chances of skip connections (n, links) from a wanted share.

    Args:
        chances: In (0, 1).
        target: In (0, 1).
    """
    p = chances.clamp(1e-6, 1 - 1e-6)
    return (p * (p / target).log() + (1 - p) * ((1 - p) / (1 - target)).log()).mean()


def _plain(config: ControllerConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "optimizer"}
