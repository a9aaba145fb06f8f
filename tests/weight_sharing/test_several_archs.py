"""Several archs a step, a teacher, and policies that follow the training."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.core.trial import derive_seed
from archwright.nn.choice import selection_of
from archwright.policies import Categorical, Policy, Uniform, Widening
from archwright.policies.base import Progress
from archwright.runs.run import open_run
from archwright.spaces import Space
from archwright.testing import BranchSpace, StrideSpace, WeightSharingContract, toy_task
from archwright.training.config import TrainingConfig
from archwright.training.networks import build_seeded
from archwright.weight_sharing import UniformPath, WeightSharing
from archwright.weight_sharing.distillation import DistillationConfig, soft_loss

ONE_STEP = TrainingConfig(steps=1, batch_size=8, learning_rate=1.0, momentum=0.0, schedule="constant")
LARGEST = {"down": "stride1", "middle": "conv5", "last": "wide"}


class TestUniformPath(WeightSharingContract):
    def make(self, training: TrainingConfig) -> WeightSharing:
        return UniformPath(training)


class TestSeveralArchsAndATeacher(WeightSharingContract):
    def make(self, training: TrainingConfig) -> WeightSharing:
        teacher = {"node.input": (2,), "node.op": "conv", "last": "half"}
        return UniformPath(training, n_archs=2, teacher=teacher)


class TestAccumulated(WeightSharingContract):
    def make(self, training: TrainingConfig) -> WeightSharing:
        return UniformPath(replace(training, accumulate=2), n_archs=2)


class TestWidening(WeightSharingContract):
    def make(self, training: TrainingConfig) -> WeightSharing:
        return UniformPath(training)

    def make_policy(self, space: Space) -> Policy:
        return Widening(space)


class Given(Policy):
    """The same rows in every step."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return self.rows[np.arange(n) % len(self.rows)]


def _supernet(space: Space) -> nn.Module:
    """In float64, for images that come in float32."""
    supernet = build_seeded(space, None, 0).double()
    supernet.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    return supernet


def _moved(space: Space, rows: Rows, teacher: Any = None, **options: Any) -> dict[str, Tensor]:
    """What one step of rate 1 subtracts from each parameter."""
    supernet = _supernet(space)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    UniformPath(ONE_STEP, len(rows), teacher, **options).fit(supernet, Given(rows), toy_task(space), seed=0)
    return {name: before[name] - p.detach() for name, p in supernet.named_parameters()}


def _step_images(space: Space) -> Any:
    split = toy_task(space).split("train")
    return next(split.batches(8, seed=derive_seed(0, "batches"), n_steps=1))


def test_gradients_of_several_archs_are_summed() -> None:
    """A step of three archs is the sum of three steps of one, to 1e-12 in float64."""
    space = StrideSpace()
    rows = space.decisions.sample(3, np.random.default_rng(0))
    together = _moved(space, rows)
    apart = [_moved(space, row[None]) for row in rows]
    for name, moved in together.items():
        assert torch.allclose(moved, sum(each[name] for each in apart), rtol=1e-10, atol=1e-12), name  # type: ignore[arg-type]
    assert any(bool(moved.any()) for moved in together.values())


def test_soft_loss_by_hand() -> None:
    """T² Σ −q log p with q = softmax(t / T); its gradient is T (p − q) / n."""
    outputs = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    targets, t = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64), 2.0
    p, q = (outputs.detach() / t).softmax(1), (targets / t).softmax(1)
    loss = soft_loss(outputs, targets, t)
    assert loss.item() == pytest.approx(-4 * (q * p.log()).sum().item())
    torch.autograd.backward(loss)
    assert outputs.grad is not None
    assert torch.allclose(outputs.grad, t * (p - q))


@pytest.mark.parametrize("is_arch", [False, True])
def test_the_gradient_is_that_of_both_losses(is_arch: bool) -> None:
    """(1 − a) cross-entropy + a soft loss against the teacher's outputs for the step's images, written out."""
    space = StrideSpace()
    row = space.decisions.sample(1, np.random.default_rng(1))
    network, other = _supernet(space), build_seeded(space, space.decisions.arch(row[0]), 7)
    selection = selection_of(network)
    batch = _step_images(space)
    with torch.no_grad():
        selection.activate(LARGEST)
        targets = network(batch.inputs) if is_arch else other.eval()(batch.inputs)
    selection.activate_row(row[0])
    outputs = network.train()(batch.inputs)
    loss = 0.25 * F.cross_entropy(outputs, batch.targets) + 0.75 * soft_loss(outputs, targets.double(), 3.0)
    torch.autograd.backward(loss)
    config = DistillationConfig(share=0.75, temperature=3.0)
    moved = _moved(space, row, LARGEST if is_arch else copy.deepcopy(other), distillation=config)
    for name, parameter in network.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(moved[name], expected, rtol=1e-6, atol=1e-9), name


def test_a_teacher_keeps_every_bit() -> None:
    """It is looked at, not trained."""
    space = BranchSpace()
    teacher = build_seeded(space, space.decisions.arch(space.decisions.enumerate_rows()[0]), 7)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    training = TrainingConfig(steps=3, batch_size=8)
    UniformPath(training, 2, teacher).fit(space.supernet(), Uniform(space), toy_task(space), seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


class Watched(Policy):
    """Notes what it is asked."""

    def __init__(self, space: Space) -> None:
        self.inner, self.asked = Uniform(space), []  # type: ignore[var-annotated]

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        assert progress is not None
        self.asked.append((n, progress.tolist()))
        return self.inner.draw(n, rng)


class Stateful(Watched):
    has_state = True


def test_a_policy_without_state_is_drawn_at_once() -> None:
    """For all steps, with the progress of each draw; one with state at each step."""
    space, training = BranchSpace(), TrainingConfig(steps=4, batch_size=8)
    for kind, expected in (
        (Watched, [(8, [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75])]),
        (Stateful, [(2, [0.0, 0.0]), (2, [0.25, 0.25]), (2, [0.5, 0.5]), (2, [0.75, 0.75])]),
    ):
        policy = kind(space)
        UniformPath(training, 2).fit(space.supernet(), policy, toy_task(space), seed=0)
        assert policy.asked == expected


def test_one_arch_of_a_learned_policy_is_what_it_prefers() -> None:
    """With all its odds on one value, only that operation is trained."""
    space = BranchSpace()
    policy = Categorical(space)
    with torch.no_grad():
        policy.alpha[3:5] = torch.tensor([-100.0, 100.0])  # node.op: the pool
    supernet = build_seeded(space, None, 0)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    UniformPath(TrainingConfig(steps=4, batch_size=8)).fit(supernet, policy, toy_task(space), seed=0)
    moved = {name for name, p in supernet.named_parameters() if not torch.equal(p, before[name])}
    assert policy.decisions["node.op"].values == ("conv", "pool")
    assert moved
    assert not any(".conv." in name for name in moved)


@pytest.mark.parametrize("changed", [{"n_archs": 3}, {"teacher": None}, {"distillation": DistillationConfig(0.1)}])
def test_a_checkpoint_of_another_kind_of_step_is_refused(tmp_path: Any, changed: dict[str, Any]) -> None:
    """Another number of archs, no teacher, another share: one line names both."""
    space = BranchSpace()
    teacher = {"node.input": (2,), "node.op": "conv", "last": "half"}
    options: dict[str, Any] = {"n_archs": 2, "teacher": teacher}

    def train(run: Any, **given: Any) -> None:
        with run.phase("supernet", total=2) as phase:
            UniformPath(TrainingConfig(steps=2, batch_size=8), **given).fit(
                space.supernet(), Uniform(space), toy_task(space), seed=0, phase=phase
            )

    config = {"recipe": "toy"}
    with open_run(tmp_path / "run", config, seed=0, threads=1) as run:
        train(run, **options)
    with (
        open_run(tmp_path / "run", config, seed=0, threads=1, resume=True) as run,
        pytest.raises(RunFolderError, match=r"the checkpoint was trained with (archs a step|teacher) = .*, now it is"),
    ):
        train(run, **{**options, **changed})


def test_bad_values_are_refused() -> None:
    """In one line."""
    with pytest.raises(InvalidValueError, match="n_archs is 0; give at least 1"):
        UniformPath(ONE_STEP, 0)
    with pytest.raises(InvalidValueError, match=r"distillation.share is 1\.5; give at most 1"):
        DistillationConfig(share=1.5)
