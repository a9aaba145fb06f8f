"""Learners: how they move, what they share, which clock they follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import DivergedError, InvalidValueError, UsageError
from archwright.training.config import OptimizerConfig
from archwright.training.learners import Learner
from archwright.training.sources import Now
from archwright.training.steps import run_steps

SGD = OptimizerConfig(learning_rate=0.1, momentum=0.0, schedule="constant")
COSINE = OptimizerConfig(learning_rate=1.0)


def _run(step: Callable[[Now], Any], n_steps: int = 1, precision: Any = "float32", **learners: Learner) -> None:
    run_steps(step, learners, sources={}, n_steps=n_steps, seed=0, identity={}, precision=precision)


def _scalar(value: float = 1.0) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def test_gradients_of_several_losses_add_up() -> None:
    """As of several subnets in one step: w - 0.1 (1 + 2 + 3)."""
    module = _scalar()
    learner = Learner(module, SGD)

    def step(now: Now) -> None:
        for factor in (1, 2, 3):
            learner.backward(factor * module.weight.sum())
        learner.update()

    _run(step, a=learner)
    assert module.weight.item() == pytest.approx(0.4)
    assert module.weight.grad is None


def test_one_loss_may_move_two_learners() -> None:
    """In one pass; the loss a * b moves a by b and b by a."""
    a, b = _scalar(2.0), _scalar(3.0)
    one, two = Learner(a, SGD), Learner(b, SGD)

    def step(now: Now) -> None:
        one.backward((a.weight * b.weight).sum(), two)
        one.update()
        two.update()

    _run(step, a=one, b=two)
    assert (a.weight.item(), b.weight.item()) == (pytest.approx(1.7), pytest.approx(2.8))


@pytest.mark.parametrize("together", [False, True])
def test_each_learner_has_a_scale_of_its_own_in_float16(together: bool) -> None:
    """Where one's gradients overflow, its step is left out and its scale halved; the other moves."""
    a, b = _scalar(), _scalar()
    one, two = Learner(a, SGD), Learner(b, SGD)

    def step(now: Now) -> None:
        if together:
            one.backward((a.weight * 1e37 + b.weight).sum(), two)
        else:
            one.backward((a.weight * 1e37).sum())
            two.backward(b.weight.sum())
        one.update()
        two.update()

    _run(step, precision="float16", a=one, b=two)
    assert (a.weight.item(), b.weight.item()) == (1.0, pytest.approx(0.9))
    scales = [learner.state()["scaler"]["scale"] for learner in (one, two)]
    assert scales == [2.0**15, 2.0**16]


def test_a_schedule_runs_over_the_steps_of_the_training() -> None:
    """Also of a learner that moves in every other step: the cosine of 8 steps at steps 0, 2, 4, 6."""
    rates = []
    learner = Learner(module := _scalar(), COSINE)

    def step(now: Now) -> None:
        if now.number % 2 == 0:
            rates.append(learner.rate)
            learner.descend(module.weight.sum() * 0)

    _run(step, 8, a=learner)
    assert rates == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_a_schedule_may_run_over_own_updates() -> None:
    """The cosine of 4 updates, in a training of 8 steps; it stays at its last rate after them."""
    rates = []
    learner = Learner(module := _scalar(), COSINE, n_updates=4)

    def step(now: Now) -> None:
        if now.number >= 3:
            rates.append(learner.rate)
            learner.descend(module.weight.sum() * 0)

    _run(step, 8, a=learner)
    assert rates == pytest.approx([1.0, 0.853553, 0.5, 0.146447, 0.146447], abs=1e-6)


def test_accumulated_losses_count_by_their_number() -> None:
    """Two steps a move: w - 0.1 (1 + 3) / 2, with no move after the first."""
    seen = []
    learner = Learner(module := _scalar(), OptimizerConfig(**{**vars(SGD), "accumulate": 2}))

    def step(now: Now) -> None:
        learner.descend(module.weight.sum() * (1 + 2 * now.number))
        seen.append(module.weight.item())

    _run(step, 2, a=learner)
    assert seen == [1.0, pytest.approx(0.8)]


def test_momentum_of_a_parameter() -> None:
    """SGD: the buffer, 0.9 * 1 + 1 after two steps; Adam: the first moment; none before the first."""
    a, b = _scalar(), _scalar()
    sgd = Learner(a, OptimizerConfig(momentum=0.9))
    adam = Learner(b, OptimizerConfig(optimizer="adam", betas=(0.5, 0.9)))
    first: list[Tensor | None] = []

    def step(now: Now) -> None:
        first.append(adam.momentum("weight"))
        sgd.descend(a.weight.sum())
        adam.descend(b.weight.sum())

    _run(step, 2, a=sgd, b=adam)
    buffer, moment = sgd.momentum("weight"), adam.momentum("weight")
    assert first[0] is None
    assert buffer is not None
    assert moment is not None
    assert (buffer.item(), moment.item()) == (pytest.approx(1.9), pytest.approx(0.75))


def test_shifted_parameters_and_statistics_come_back_to_the_bit() -> None:
    """A pass at w + 0.5 d, through batch norm in training mode."""
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).train()
    learner = Learner(network, SGD)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with learner.shifted({"0.weight": torch.ones(3, 2)}, 0.5):
        assert torch.equal(network[0].weight, before["0.weight"] + 0.5)
        network(torch.randn(4, 2))
        assert int(network[1].num_batches_tracked) == 1  # type: ignore[arg-type]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_second_order_darts_by_differences() -> None:
    """The gradient of α through one unrolled step of w, against its closed form.

    Weights' loss (w - a)^2 / 2 and α's loss w^2 / 2 at w' = w - r (w - a): dw'/da = r, so the gradient is r w'.
    """
    w, a, r = _scalar(2.0), _scalar(0.5), 0.1
    weights, alpha = Learner(w, SGD), Learner(a, SGD)
    found: list[Tensor] = []

    def train_loss() -> Tensor:
        return (w.weight - a.weight).square().sum() / 2

    def step(now: Now) -> None:
        (g,) = torch.autograd.grad(train_loss(), [w.weight])
        with weights.shifted({"weight": g}, -weights.rate):
            (v,) = torch.autograd.grad(w.weight.square().sum() / 2, [w.weight])
        sides = []
        for sign in (1, -1):
            with weights.shifted({"weight": v}, sign * 0.01):
                sides.append(torch.autograd.grad(train_loss(), [a.weight])[0])
        found.append(-weights.rate * (sides[0] - sides[1]) / 0.02)

    _run(step, w=weights, a=alpha)
    assert found[0].item() == pytest.approx(r * (2.0 - r * 1.5), rel=1e-4)
    assert w.weight.item() == 2.0


@pytest.mark.parametrize("average", [{"average_from": 0.5}, {"ema_decay": 0.5}])
def test_an_average_counts_the_updates_of_its_learner(average: dict[str, float]) -> None:
    """In steps 0, 2, 4, 6, 8 of 10 the weight becomes 0.9, 0.8, …: the mean of the last two, or the recursion."""
    learner = Learner(module := _scalar(), OptimizerConfig(**{**vars(SGD), **average}))

    def step(now: Now) -> None:
        if now.number % 2 == 0:
            learner.descend(module.weight.sum())

    _run(step, 10, a=learner)
    expected = 1.0
    for k, value in enumerate((0.9, 0.8, 0.7, 0.6, 0.5)):
        decay = min(0.5, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * value
    assert module.weight.item() == pytest.approx(0.55 if "average_from" in average else expected)


class Tied(nn.Module):
    """Two layers of which another learner may move one."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(2, 2), head


@pytest.mark.parametrize("shares", [((), ()), (("head",), ()), ((), ("weight", "bias"))])
def test_a_parameter_of_two_learners_has_to_be_named_by_both(shares: Any) -> None:
    """The message holds both learners and the parameter's name in each."""
    head = nn.Linear(2, 2)
    one, two = Learner(Tied(head), SGD, shares=shares[0]), Learner(head, SGD, shares=shares[1])
    with pytest.raises(InvalidValueError, match=r"'one' and 'two' both move a parameter, 'head\.weight' .* 'weight'"):
        _run(lambda now: None, one=one, two=two)


def test_a_shared_parameter_is_stored_once(memory_phase: Any) -> None:
    """Below the first learner; it is moved by both."""
    head, phase = _scalar(), memory_phase()
    one = Learner({"a": head, "b": nn.Linear(1, 1)}, SGD, shares=("a",))
    two = Learner(head, SGD, shares=("weight",))

    def step(now: Now) -> None:
        one.descend(head.weight.sum())
        two.descend(head.weight.sum())

    run_steps(step, {"one": one, "two": two}, sources={}, n_steps=1, seed=0, identity={}, phase=phase)
    names = {f"one/parameter/{name}" for name in ("a.weight", "b.weight", "b.bias")}
    assert (head.weight.item(), set(phase.stored[0])) == (pytest.approx(0.8), names)


def test_a_broken_loss_does_not_reach_the_parameters() -> None:
    """The error names the learner and the step."""
    learner = Learner(module := _scalar(), SGD)
    with pytest.raises(DivergedError, match="training loss of a is inf at step 0 of 1"):
        _run(lambda now: learner.descend(module.weight.sum() * float("inf")), a=learner)
    assert module.weight.item() == 1.0


@pytest.mark.parametrize("parts", [nn.ReLU(), {}, {"a": nn.ReLU()}])
def test_a_learner_without_parameters_is_refused(parts: Any) -> None:
    """Nothing to train."""
    with pytest.raises(InvalidValueError, match="no parameters"):
        Learner(parts, SGD)


def test_a_frozen_learner_is_refused() -> None:
    """It would train nothing and say nothing."""
    with pytest.raises(InvalidValueError, match="all 1 parameters of Linear are frozen"):
        Learner(_scalar().requires_grad_(False), SGD)


def test_unknown_shares_are_refused() -> None:
    """A slip would hide that a parameter is not shared."""
    with pytest.raises(InvalidValueError, match="shares names 'haed'"):
        Learner(Tied(nn.Linear(1, 1)), SGD, shares=("haed",))


def test_a_learner_is_for_one_training() -> None:
    """Outside of it, and in a second one, it says so."""
    learner = Learner(_scalar(), SGD)
    with pytest.raises(UsageError, match="give it to run_steps"):
        learner.update()
    _run(lambda now: None, a=learner)
    with pytest.raises(UsageError, match="make a new one"):
        _run(lambda now: None, a=learner)


def test_a_warm_up_that_leaves_no_step_is_refused() -> None:
    """Of the learner's own updates, where it counts those."""
    learner = Learner(_scalar(), OptimizerConfig(warmup_steps=4), n_updates=4)
    with pytest.raises(InvalidValueError, match="warmup_steps is 4; accepted: fewer than the 4 steps"):
        _run(lambda now: None, 100, a=learner)


def test_shares_are_names_and_no_text() -> None:
    """Whose letters would be taken for names."""
    with pytest.raises(InvalidValueError, match="shares is the text 'weight'; give a collection of names"):
        Learner(nn.Linear(2, 2), OptimizerConfig(), shares="weight")
