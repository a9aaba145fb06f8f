"""Single-path training: one architecture a step, or several, drawn from a policy (Guo et al., 2020, Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.arch import Value
from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.trial import derive_seed
from archwright.policies.base import Policy
from archwright.runs.phase import Phase
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.losses import TaskLoss
from archwright.training.sources import ONLY, Now, Source
from archwright.training.steps import Stateful, run_steps
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.distillation import DistillationConfig, Distilled, Teacher, described
from archwright.weight_sharing.shared import SharedWeights, opened

MAX_ARCHS = 10_000
"""Most archs in a step; a larger number is taken for a typing error."""


@listed(
    "weight-sharing",
    "uniform-path",
    summary="each step activates one arch of the policy, or several, and trains only its weights",
    source="Guo et al., ECCV 2020, arXiv:1904.00420; several and a teacher: Cai et al., ICLR 2020, arXiv:1908.09791",
)
class UniformPath(WeightSharing):
    """Every step activates one arch of the policy and trains only its weights.

    Weights that do not take part in a step get no gradient, so neither momentum nor decay moves them, as in the
    released code. An elastic layer takes part as a whole: the entries outside its active slice have a gradient of
    zero, so that decay and what momentum they have left go on moving them, as in the released code of once-for-all
    (Cai et al., ICLR 2020), whose layers slice their weights too.

    A policy without state is drawn for all steps at once, one with state (`Policy.has_state`) at each step.

    Args:
        training: Steps, optimizer, schedule.
        n_archs: Archs a step, all on the same batch; their gradients are summed.
        teacher: Whose outputs for the step's inputs the archs learn from, beside the task's targets: a network, or an
            arch of the weights that are trained.
        distillation: How much.
    """

    def __init__(
        self,
        training: TrainingConfig,
        n_archs: int = 1,
        teacher: Teacher | None = None,
        *,
        distillation: DistillationConfig | None = None,
    ) -> None:
        check_range("n_archs", n_archs, 1, MAX_ARCHS)
        self.training, self.n_archs, self.teacher = training, n_archs, teacher
        self.distillation = distillation or DistillationConfig()

    def n_steps(self, task: Task) -> int:
        return self.training.n_steps(task.split("train").n)

    def lasting(self, n_steps: int, task: Task) -> UniformPath:
        training = self.training.lasting(n_steps, self.n_steps(task))
        return UniformPath(training, self.n_archs, self.teacher, distillation=self.distillation)

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
        network, activate, decisions = opened(shared)
        config = self.training
        split = task.split("train").augmented(parse_augment(config.augment))
        n_steps = config.n_steps(split)
        learner = Learner(network, config)
        distilled, loss = None, TaskLoss(network, task, label_smoothing=config.label_smoothing)
        if self.teacher is not None:
            distilled = self._distilled(network, task, device, lambda arch: activate(decisions.row(arch)))
            loss = distilled.of_network
        draw = self._draws(policy, n_steps, seed)

        def step(now: Now) -> Tensor:
            rows, losses = draw(now), []
            for k in range(config.accumulate):
                if k:
                    now.next_batch()
                if distilled is not None:
                    distilled.look(now)
                for row in rows:
                    activate(row)
                    found = loss(now)
                    learner.backward(found)
                    losses.append(found.detach())
            learner.update()
            return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

        return run_steps(
            step,
            {ONLY: learner},
            sources={ONLY: Source(split, config.batch_size, derive_seed(seed, "batches"))},
            n_steps=n_steps,
            seed=seed,
            identity={"data": task.fingerprint, "part": "train", **self._identity()},
            device=device,
            precision=config.precision,
            channels_last=config.channels_last,
            stateful=_stateful(policy),
            phase=phase,
        )

    def _draws(self, policy: Policy, n_steps: int, seed: int) -> Callable[[Now], Rows]:
        """A function that gives the rows of a step."""
        n = self.n_archs
        if policy.has_state:
            return lambda now: policy.draw(n, now.rng("paths"), np.full(n, now.progress))
        # all paths are drawn beforehand: what step k trains then does not depend on where the training was resumed
        progress = np.repeat(np.arange(n_steps) / n_steps, n)
        rows = policy.draw(n_steps * n, np.random.default_rng(derive_seed(seed, "paths")), progress)
        return lambda now: rows[now.number * n : (now.number + 1) * n]

    def _distilled(
        self,
        network: nn.Module,
        task: Task,
        device: str | torch.device,
        activate: Callable[[Mapping[str, Value]], None],
    ) -> Distilled:
        assert self.teacher is not None
        if isinstance(self.teacher, nn.Module):
            self.teacher.to(device).eval()
        smoothing = self.training.label_smoothing
        return Distilled(network, task, self.teacher, self.distillation, label_smoothing=smoothing, activate=activate)

    def _identity(self) -> dict[str, Any]:
        """What of this object a training depends on; None for what checkpoints of older builds do not have."""
        taught = None if self.teacher is None else {"by": described(self.teacher), **asdict(self.distillation)}
        return {"archs a step": None if self.n_archs == 1 else self.n_archs, "teacher": taught}


def _stateful(policy: Policy) -> dict[str, Stateful]:
    """What a checkpoint keeps of a policy."""
    is_kept = policy.has_state and all(hasattr(policy, name) for name in ("tensors", "load", "state", "load_state"))
    return {"policy": cast(Stateful, policy)} if is_kept else {}
