"""Policies that are trained beside the weights they draw for: killed and resumed, every α has the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.policies import Categorical, Controller, LearnedPolicy
from archwright.runs.phase import Phase
from archwright.runs.run import open_run
from archwright.testing import BranchSpace, toy_task
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.training.learners import Learner
from archwright.training.losses import TaskLoss
from archwright.training.sources import Now, Source
from archwright.training.steps import run_steps
from archwright.weight_sharing import SupernetWeights

N_STEPS = 6


class Killed(Exception):
    """Stands for the end of the process."""


class Dying(Phase):
    """Ends behind the fourth step."""

    def advance(self, done: int, **figures: float | str) -> None:
        super().advance(done, **figures)
        if done == 4:
            raise Killed


def _trained(kind: type[LearnedPolicy], phase: Any = None) -> tuple[Tensor, ...]:
    """Weights and policy in turn: a mixture's loss on validation images moves α, or rewards move the controller."""
    space = BranchSpace()
    shared, policy, task = SupernetWeights.build(space, 0), kind(space), toy_task(space)
    weights = Learner(shared.network, TrainingConfig(steps=N_STEPS, batch_size=8, learning_rate=0.05))
    alpha = Learner(policy, OptimizerConfig(optimizer="adam", learning_rate=0.1, schedule="constant"))
    loss = TaskLoss(shared.network, task)

    def step(now: Now) -> dict[str, Tensor]:
        if isinstance(policy, Categorical):
            shared.relax(policy.mixture(now.rng("mixture"), now.progress))
            found = loss(now, "validation")
            alpha.descend(found)
        else:
            rows = policy.draw(1, now.rng("paths"), np.array([now.progress]))
            shared.activate(rows[0])
            found = loss(now, "validation").detach()
            alpha.descend((policy.log_prob(rows) * found).sum() - 0.01 * policy.entropy(rows).sum())
        shared.activate(policy.draw(1, now.rng("weights"))[0])
        trained = loss(now, "train")
        weights.descend(trained)
        return {"alpha": found.detach(), "weights": trained.detach()}

    run_steps(
        step,
        {"weights": weights, "alpha": alpha},
        sources={part: Source(task.split(part), 8, seed) for seed, part in enumerate(("train", "validation"))},  # type: ignore[arg-type]
        n_steps=N_STEPS,
        seed=0,
        identity={"data": task.fingerprint},
        phase=phase,
    )
    return tuple(p.detach().clone() for p in [*policy.parameters(), *shared.network.parameters()])


@pytest.mark.parametrize("kind", [Categorical, Controller])
def test_a_training_of_weights_and_policy_goes_on_to_the_same_bits(tmp_path: Path, kind: type[LearnedPolicy]) -> None:
    """α with its Adam, weights with their momentum: what first-order DARTS and ENAS need."""
    whole = _trained(kind)
    config = {"recipe": "toy"}
    with (
        pytest.raises(Killed),
        open_run(tmp_path / "run", config, seed=0, threads=1, checkpoint_every_s=0.0) as run,
        Dying("supernet", run._around, N_STEPS) as phase,
    ):
        _trained(kind, phase)
    with (
        open_run(tmp_path / "run", config, seed=0, threads=1, resume=True, checkpoint_every_s=0.0) as run,
        run.phase("supernet", total=N_STEPS) as phase,
    ):
        assert phase.restore() is not None
        resumed = _trained(kind, phase)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
    first = next(kind(BranchSpace()).parameters())
    assert not torch.equal(whole[0], first)
