"""Shared weights and a controller in turn: the contract, who moves when, rewards, and what a controller learns."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.core.errors import InvalidValueError, RunError
from archwright.policies import AnchorController, Categorical, Controller, Policy, Uniform
from archwright.spaces import EnasMacro, Space
from archwright.tasks import ImageTask
from archwright.tasks.base import Part
from archwright.testing import BranchSpace, WeightSharingContract, toy_task
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.weight_sharing import ControlledPath, ControllerConfig, SupernetWeights
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.controlled_path import skip_divergence

TRAINING = TrainingConfig(steps=6, batch_size=16, learning_rate=0.05)
ADAM = OptimizerConfig(optimizer="adam", learning_rate=0.05, schedule="constant")


class TestContract(WeightSharingContract):
    reads: ClassVar[set[Part]] = {"train", "validation"}

    def make(self, training: TrainingConfig) -> WeightSharing:
        return ControlledPath(training, ControllerConfig(ADAM, every=2, steps=1, children=2))

    def make_policy(self, space: Space) -> Policy:
        return Controller(space, hidden=6, spread=0.5)


def fitted(
    config: ControllerConfig, policy: Policy, task: ImageTask | None = None, space: Space | None = None
) -> SupernetWeights:
    space = space or BranchSpace()
    shared = SupernetWeights.build(space, 0)
    ControlledPath(TRAINING, config).fit(shared, policy, task or toy_task(space), seed=3)
    return shared


def test_steps_of_both_are_counted() -> None:
    """Six of the weights in turns of four: two turns, each with three of the controller."""
    sharing = ControlledPath(TRAINING, ControllerConfig(every=4, steps=3))
    task = toy_task(BranchSpace())
    assert sharing.n_steps(task) == 6 + 2 * 3
    assert ControlledPath(TRAINING, ControllerConfig(every=100, steps=3)).n_steps(task) == 6 + 3
    for n in range(2, 60):  # a plan of other lengths is kept to the step
        assert sharing.lasting(n, task).n_steps(task) == n


def test_each_moves_in_its_turn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters of the other side keep every bit."""
    space = BranchSpace()
    policy, shared = Categorical(space), SupernetWeights.build(space, 0)
    seen: list[tuple[bytes, bytes]] = []
    sharing = ControlledPath(TRAINING, ControllerConfig(ADAM, every=2, steps=2, children=4))

    def bits() -> tuple[bytes, bytes]:
        weights = torch.cat([p.detach().flatten() for p in shared.network.parameters()])
        return weights.numpy().tobytes(), policy.alpha.detach().numpy().tobytes()

    def watched(*args: object) -> Tensor:
        seen.append(bits())
        return torch.arange(4.0)  # the last child is the best

    monkeypatch.setattr(sharing, "_rewards", watched)
    sharing.fit(shared, policy, toy_task(space), seed=0)
    assert len(seen) == 6
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert first[0] == second[0]  # weights stand while the controller moves
        assert first[1] != second[1]
    for before, after in zip(seen[1::2], seen[2::2], strict=False):
        assert before[0] != after[0]


def test_rewards_are_the_metric_of_one_batch() -> None:
    """By hand: the same validation batch for each arch, the network as it trains."""
    space = BranchSpace()
    task, shared = toy_task(space), SupernetWeights.build(space, 0)
    found: list[tuple[np.ndarray, Tensor]] = []
    sharing = ControlledPath(TrainingConfig(steps=1, batch_size=16), ControllerConfig(ADAM, steps=1, children=3))
    controller_loss = sharing._controller_loss

    def watched(policy: object, rows: np.ndarray, rewards: Tensor, baseline: object) -> Tensor:
        found.append((rows, rewards))
        network = shared.network
        batch = next(task.split("validation").batches(16, seed=_source_seed(7), n_steps=1))
        with torch.no_grad():
            for row, reward in zip(rows, rewards, strict=True):
                shared.activate(row)
                right = (network(batch.inputs).argmax(1) == batch.targets).float().mean()
                assert float(reward) == pytest.approx(float(right))
        return controller_loss(policy, rows, rewards, baseline)  # type: ignore[arg-type]

    sharing._controller_loss = watched  # type: ignore[method-assign,assignment]
    sharing.fit(shared, Categorical(space), task, seed=7)
    assert len(found) == 1


def _source_seed(seed: int) -> int:
    from archwright.core.trial import derive_seed

    return derive_seed(seed, "validation")


def test_the_divergence_of_skip_connections() -> None:
    """0 at the target alone; by hand elsewhere."""
    assert float(skip_divergence(torch.full((2, 3), 0.4), 0.4)) == pytest.approx(0, abs=1e-7)
    p = 0.8
    expected = p * math.log(p / 0.4) + (1 - p) * math.log((1 - p) / 0.6)
    assert float(skip_divergence(torch.full((2, 3), p), 0.4)) == pytest.approx(expected)


def test_the_divergence_pulls_skip_connections_to_their_target() -> None:
    """With rewards that say nothing, the chances come to 0.4, from one half."""
    space = EnasMacro(input_shape=(3, 8, 8), n_classes=4, layers=3, channels=8)
    policy = AnchorController(space, hidden=8, link="softmax", spread=0.3)
    config = ControllerConfig(ADAM, every=6, steps=60, children=4, skip_weight=50.0)
    fitted(config, policy, space=space)
    with torch.no_grad():
        chances = policy.skip_chances(policy.draw(20, np.random.default_rng(0)))
    assert float(chances.mean()) == pytest.approx(0.4, abs=0.05)


def test_what_it_refuses() -> None:
    with pytest.raises(InvalidValueError, match="Uniform does not learn, and a controlled path trains its policy"):
        fitted(ControllerConfig(), Uniform(BranchSpace()))
    with pytest.raises(InvalidValueError, match=r"controller\.skip_target is 1; give a number between 0 and 1"):
        ControllerConfig(skip_target=1)
    with pytest.raises(InvalidValueError, match=r"controller\.baseline_decay is 1"):
        ControllerConfig(baseline_decay=1)


def test_a_reward_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says at which step."""
    task = toy_task(BranchSpace())

    class Broken:
        def measure(self, *_: object) -> None: ...

        def result(self) -> dict[str, float]:
            return {"top1_accuracy": math.nan}

    monkeypatch.setattr(task, "search_meter", Broken)
    with pytest.raises(RunError, match="the reward of an architecture is nan at step 6"):
        fitted(ControllerConfig(every=6, steps=1), Categorical(BranchSpace()), task)
