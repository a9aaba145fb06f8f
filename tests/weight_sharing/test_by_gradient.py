"""Weights and arch parameters by gradients: the contract, who moves when and by what, and the step that looks ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.core.trial import derive_seed
from archwright.nn import selection_of
from archwright.nn.choice import Chooser
from archwright.policies import (
    BinaryGates,
    Categorical,
    Controller,
    DirichletWeights,
    GumbelSoftmax,
    Policy,
    Shrinking,
)
from archwright.spaces import DartsRnn, Space
from archwright.tasks.base import Part
from archwright.testing import BranchSpace, EdgesSpace, NumberSpace, WeightSharingContract, toy_task, toy_text
from archwright.testing.spaces import TwoNodes
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.weight_sharing import (
    AlphaConfig,
    ByGradient,
    PressureConfig,
    SupernetWeights,
    WatchConfig,
    expected_cost,
)
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.by_gradient import ALPHA, TRAIN, VALIDATION, Plan

ADAM = OptimizerConfig(optimizer="adam", learning_rate=0.05, schedule="constant")
TRAINING = TrainingConfig(steps=6, batch_size=16, learning_rate=0.05)


class Mixed(WeightSharingContract):
    trains_generated: ClassVar[bool] = False
    takes_any_policy: ClassVar[bool] = False
    config: ClassVar[AlphaConfig] = AlphaConfig(ADAM)

    def make(self, training: TrainingConfig) -> WeightSharing:
        return ByGradient(training, self.config)

    def make_space(self) -> Space:
        return EdgesSpace()

    def make_policy(self, space: Space) -> Policy:
        return Categorical(space, spread=0.5)


class TestFirstOrder(Mixed):
    pass


class TestSecondOrder(Mixed):
    config = AlphaConfig(ADAM, order="second")


class TestSingleLevel(Mixed):
    config = AlphaConfig(ADAM, level="single")

    def make_policy(self, space: Space) -> Policy:
        return GumbelSoftmax(space, spread=0.5)


class TestInTurn(Mixed):
    config = AlphaConfig(ADAM, every=None, warmup=0.3, share=0.25)
    reads: ClassVar[set[Part]] = {"train"}


class TestOnTheValidationPart(Mixed):
    config = AlphaConfig(ADAM, share=0.0)
    reads: ClassVar[set[Part]] = {"train", "validation"}


class TestGates(Mixed):
    config = AlphaConfig(ADAM, every=2, paths="path")

    def make_policy(self, space: Space) -> Policy:
        return BinaryGates(space, spread=0.5)


class TestShrinking(Mixed):
    def make_policy(self, space: Space) -> Policy:
        return Shrinking(space, stages=(3, 2), spread=0.5)


class TestWatched(Mixed):
    def make(self, training: TrainingConfig) -> WeightSharing:
        watch = WatchConfig(looks=3, window=1, ratio=0.99)
        return ByGradient(training, self.config, stop="eigenvalue", watch=watch)


class TestRegularized(Mixed):
    def make_policy(self, space: Space) -> Policy:
        return DirichletWeights(space, spread=0.5)


def fitted(
    sharing: ByGradient, policy: Policy | None = None, space: Space | None = None, seed: int = 1
) -> tuple[SupernetWeights, Any]:
    space = space or EdgesSpace()
    shared, policy = SupernetWeights.build(space, 0), policy or Categorical(space, spread=0.5)
    sharing.fit(shared, policy, toy_task(space), seed=seed)
    return shared, policy


# ── who moves ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("plan", "weights", "alpha"),
    [
        (Plan(6, 0.0, 1), "wwwwww", "aaaaaa"),
        (Plan(6, 0.5, 1), "wwwwww", "...aaa"),
        (Plan(7, 0.0, 3), "wwwwwww", "a..a..a"),
        (Plan(9, 0.0, None, (2, 1)), "ww.ww.ww.", "..a..a..a"),
        (Plan(8, 0.25, None, (2, 3)), "wwww...w", "....aaa."),
    ],
)
def test_plans(plan: Plan, weights: str, alpha: str) -> None:
    """Drawn out by hand; the numbers of updates agree."""
    assert "".join("w" if plan.moves_weights(i) else "." for i in range(plan.n)) == weights
    assert "".join("a" if plan.moves_alpha(i) else "." for i in range(plan.n)) == alpha
    assert (plan.n_weights, plan.n_alpha) == (weights.count("w"), alpha.count("a"))


def test_lengths() -> None:
    """Steps of the training; passes in turn come to them; a step that looks ahead is four passes."""
    task = toy_task(EdgesSpace())  # 144 training examples
    assert ByGradient(TRAINING).n_steps(task) == 6
    assert ByGradient(TRAINING).n_passes(task) == 12
    assert ByGradient(TRAINING, AlphaConfig(order="second")).n_passes(task) == 6 + 4 * 6
    assert ByGradient(TRAINING, AlphaConfig(level="single")).n_passes(task) == 6
    half = ByGradient(replace(TRAINING, steps=None, epochs=3), AlphaConfig(every=None, share=0.5))
    assert half.n_steps(task) == 3 * (4 + 4)  # eight or nine batches in half and half
    for n in range(1, 40):
        assert half.lasting(n, task).n_steps(task) == n
        assert ByGradient(TRAINING, AlphaConfig(every=3)).lasting(n, task).n_steps(task) == n


def test_alpha_and_weights_share_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both learners, by name: every parameter of network and policy belongs to exactly one."""
    from archwright.weight_sharing import by_gradient

    seen: dict[str, dict[str, nn.Parameter]] = {}

    def watched(step: object, learners: Any, **_: object) -> None:
        seen.update({name: learner.parameters() for name, learner in learners.items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(by_gradient, "run_steps", watched)
    space = EdgesSpace()
    shared, policy = SupernetWeights.build(space, 0), Categorical(space, edge_weights=True)
    with pytest.raises(KeyboardInterrupt):
        ByGradient(TRAINING).fit(shared, policy, toy_task(space), seed=0)
    assert set(seen["alpha"]) == {"alpha", "edge_alpha"}
    assert {id(p) for p in seen["weights"].values()} == {id(p) for p in shared.network.parameters()}
    assert not {id(p) for p in seen["alpha"].values()} & {id(p) for p in seen["weights"].values()}


@pytest.mark.parametrize("level", ["bilevel", "single"])
def test_alpha_stands_still_in_the_warm_up(level: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """fbnet.md, fact 5."""
    space = EdgesSpace()
    policy, seen = Categorical(space, spread=0.5), list[Tensor]()
    begin = policy.begin_step

    def watched(progress: float) -> None:
        seen.append(policy.alpha.detach().clone())
        begin(progress)

    monkeypatch.setattr(policy, "begin_step", watched)
    fitted(ByGradient(TRAINING, AlphaConfig(ADAM, warmup=0.5, level=level)), policy)
    assert all(torch.equal(each, seen[0]) for each in seen[:4])
    assert not torch.equal(seen[4], seen[3])


def test_each_alpha_step_has_a_new_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that others shipped: the same validation batch at every step."""
    from archwright.tasks.images.in_memory import ImageTask

    seen = list[bytes]()
    loss = ImageTask.loss

    def watched(self: ImageTask, outputs: Any, batch: Any, **options: Any) -> Tensor:
        seen.append(batch.inputs.numpy().tobytes())
        return loss(self, outputs, batch, **options)

    monkeypatch.setattr(ImageTask, "loss", watched)
    fitted(ByGradient(TRAINING, AlphaConfig(ADAM)))
    assert len(seen) == 12
    assert len(set(seen[::2])) > 3  # of α; the half has 72 examples, so later passes differ by their order alone
    assert not set(seen[::2]) & set(seen[1::2])


def test_the_shares_have_no_example_in_common() -> None:
    """Train and validation of the search, by content."""
    space = EdgesSpace()
    task = toy_task(space)
    parts = ByGradient(TRAINING)._parts(task, 3)
    images = {
        name: {row.tobytes() for batch in part.batches(8, seed=0, n_steps=part.n // 8) for row in batch.inputs.numpy()}
        for name, part in parts.items()
    }
    assert len(images[TRAIN]) > 50 < len(images[VALIDATION])
    assert not images[TRAIN] & images[VALIDATION]


def test_a_weight_step_on_a_path_runs_one_candidate_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """proxylessnas.md, fact 4: the gradients of the others are None."""
    space = BranchSpace()
    shared, policy = SupernetWeights.build(space, 0), BinaryGates(space)
    from archwright.training.learners import Learner

    seen: list[set[str]] = []
    descend = Learner.descend

    def watched(self: Learner, loss: Tensor) -> None:
        if self.module is shared.network:
            self.backward(loss)
            seen.append(
                {name.split(".")[1] for name, p in self.parameters().items() if "node." in name and p.grad is not None}
            )
            self.update()
            return
        descend(self, loss)

    monkeypatch.setattr(Learner, "descend", watched)
    ByGradient(TRAINING, AlphaConfig(ADAM, paths="path")).fit(shared, policy, toy_task(space), seed=0)
    assert len(seen) == 6
    assert all(len(edges) <= 1 for edges in seen)


def test_one_batch_moves_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """snas.md, fact 5."""
    space = EdgesSpace()
    policy = GumbelSoftmax(space)
    before = {name: p.clone() for name, p in SupernetWeights.build(space, 0).network.named_parameters()}
    shared, _ = fitted(ByGradient(replace(TRAINING, steps=1), AlphaConfig(ADAM, level="single")), policy)
    assert bool(policy.alpha.any())
    assert any(not torch.equal(p, before[name]) for name, p in shared.network.named_parameters())


def test_the_cheapest_is_chosen_if_only_the_cost_counts() -> None:
    """fbnet.md, fact 5: with a constant loss α goes to the smallest cost."""
    from archwright.costs.counted import Macs

    space = EdgesSpace()
    policy = Categorical(space)
    pressure = PressureConfig("relative", weight=50.0, reference=1000.0)
    sharing = ByGradient(
        replace(TRAINING, steps=60), AlphaConfig(ADAM, pressure=pressure), costs=(expected_cost(Macs(), space),)
    )
    fitted(sharing, policy)
    rows = space.decisions.enumerate_rows()
    costs = Macs().cost_rows(space, rows)
    assert Macs().cost_rows(space, policy.best_row()[None])[0] == costs.min()


def test_a_stopped_search_moves_nothing_further() -> None:
    """With one look at the first step, which finds skip connections: everything stays."""
    space = EdgesSpace()
    policy = Categorical(space)
    with torch.no_grad():
        for alpha in policy.alphas().values():
            alpha[2] = 5.0
    watch = WatchConfig(looks=10, skips=1)
    fitted(ByGradient(replace(TRAINING, steps=10), AlphaConfig(ADAM), stop="skip", watch=watch), policy)
    one = Categorical(space)
    with torch.no_grad():
        for alpha in one.alphas().values():
            alpha[2] = 5.0
    fitted(ByGradient(replace(TRAINING, steps=1), AlphaConfig(ADAM)), one)
    assert torch.allclose(policy.alpha, one.alpha)


# ── looking ahead ─────────────────────────────────────────────────────────────────────────────────


class SmoothSpace(EdgesSpace):
    """The same decisions without a ReLU or a batch norm: differences are as good as their formula says."""

    def network(self, choose: Chooser) -> nn.Module:
        ops = {"conv": lambda: nn.Conv2d(4, 4, 3, padding=1), "skip": nn.Tanh}

        def node(i: int, n: int) -> nn.Module:
            made: nn.Module = choose.inputs(f"node{i}", n, 1, lambda j: choose.op(f"edge{j}{i}", ops))
            return made

        stems = [nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh()) for _ in range(2)]
        head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, self.n_classes))
        return TwoNodes(stems, [node(2, 2), node(3, 3)], head)


def exact_gradient(rate: float) -> tuple[Tensor, Tensor]:
    """α's gradient of the validation loss after one unrolled step, by autograd through it; and without the step."""
    space = SmoothSpace()
    task = toy_task(space)
    shared, policy = SupernetWeights.build(space, 0), Categorical(space, spread=0.5)
    network = shared.network.double().train()
    policy.double()
    sharing = ByGradient(replace(TRAINING, steps=1))
    batches = {
        name: next(iter(part.batches(16, seed=derive_seed(1, f"batches of {name}"), first_step=0, n_steps=1)))
        for name, part in sharing._parts(task, 1).items()
    }
    parameters = dict(network.named_parameters())
    buffers = {name: b.clone() for name, b in network.named_buffers()}

    def loss(values: dict[str, Tensor], name: str) -> Tensor:
        mixture = policy.mixture(np.random.default_rng(0))
        selection_of(network).relax(mixture)
        batch = batches[name]
        kept = {key: b.clone() for key, b in buffers.items()}
        out = functional_call(network, {**values, **kept}, (batch.inputs.double(),))
        return nn.functional.cross_entropy(out, batch.targets)

    found = torch.autograd.grad(loss(parameters, TRAIN), list(parameters.values()), create_graph=True)
    ahead = {name: p - rate * g for (name, p), g in zip(parameters.items(), found, strict=True)}
    (exact,) = torch.autograd.grad(loss(ahead, VALIDATION), policy.alpha)
    (first,) = torch.autograd.grad(loss(parameters, VALIDATION), policy.alpha)
    return exact, first


def alpha_gradient(order: Any, rate: float) -> Tensor:
    """What α is moved by in the first step: with SGD at rate 1."""
    space = SmoothSpace()
    policy = Categorical(space, spread=0.5)
    before = policy.alpha.detach().clone()
    plain = OptimizerConfig(optimizer="sgd", learning_rate=1.0, momentum=0.0, schedule="constant")
    training = TrainingConfig(
        steps=1, batch_size=16, learning_rate=rate, momentum=0.0, schedule="constant", augment="none"
    )
    fitted(ByGradient(training, AlphaConfig(plain, order=order)), policy, space)
    return before - policy.alpha.detach()


def test_the_step_ahead_is_the_unrolled_gradient() -> None:
    """darts.md, fact 3: differences at two shifts against autograd through the step; the correction too."""
    rate = 0.5
    exact, _ = exact_gradient(rate)
    found = alpha_gradient("second", rate).double()
    assert torch.allclose(found, exact, rtol=0.02, atol=2e-3 * float(exact.abs().max()))
    first = alpha_gradient("first", rate).double()
    assert (found - exact).norm() < 0.05 * (first - exact).norm()


def test_without_a_step_it_is_the_first_order() -> None:
    """xi = 0, which a rate of almost 0 comes to."""
    assert torch.allclose(alpha_gradient("second", 1e-9), alpha_gradient("first", 1e-9), atol=1e-6)


def test_looking_ahead_leaves_the_weights_and_statistics_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit after the shifts, batch norms included."""
    from archwright.weight_sharing.by_gradient import _Steps

    space = EdgesSpace()
    shared, policy = SupernetWeights.build(space, 0), Categorical(space, spread=0.5)
    of_alpha, seen = _Steps.of_alpha, list[bool]()

    def watched(self: _Steps, now: Any) -> Tensor:
        before = {name: t.clone() for name, t in shared.network.state_dict().items()}
        found = of_alpha(self, now)
        seen.append(all(torch.equal(t, before[name]) for name, t in shared.network.state_dict().items()))
        return found

    monkeypatch.setattr(_Steps, "of_alpha", watched)
    ByGradient(TRAINING, AlphaConfig(ADAM, order="second")).fit(shared, policy, toy_task(space), seed=0)
    assert seen == [True] * 6


def test_texts_are_searched_along_their_streams() -> None:
    """The recurrent cell: both learners carry state along texts of their own."""
    space = DartsRnn(input_shape=(5,), n_classes=12, hidden=6, nodes=2)
    shared, policy = SupernetWeights.build(space, 0), Categorical(space, spread=0.5)
    for order in ("first", "second"):
        config = AlphaConfig(ADAM, order=order, share=0.0)  # type: ignore[arg-type]
        log = ByGradient(replace(TRAINING, batch_size=4), config).fit(shared, policy, toy_text(space), seed=0)
        assert np.isfinite(log.final_loss)
    assert set(log.curves) == {ALPHA, "weights"}


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


def test_numbers_cannot_be_mixed() -> None:
    with pytest.raises(
        InvalidValueError, match=r"decision 'width' of space .* chooses a number, and numbers cannot be"
    ):
        fitted(ByGradient(TRAINING), Categorical(NumberSpace()), NumberSpace())


def test_a_policy_without_alpha() -> None:
    with pytest.raises(InvalidValueError, match="Controller has no arch parameters that gradients could move"):
        fitted(ByGradient(TRAINING), Controller(BranchSpace()), BranchSpace())


def test_an_optimizer_that_cannot_be_looked_ahead() -> None:
    with pytest.raises(InvalidValueError, match="looks ahead by a step of SGD, and the weights have adam"):
        ByGradient(replace(TRAINING, optimizer="adam"), AlphaConfig(order="second"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.0}, r"alpha.share is 1.0; give a number in \[0, 1\)"),
        ({"warmup": -0.1}, r"alpha.warmup is -0.1; give a number in \[0, 1\)"),
        ({"every": 0}, r"alpha.every is 0; give at least 1"),
        ({"level": "single", "order": "second"}, "alpha.level is single, where weights and α share each batch"),
        ({"order": "second", "every": None}, "alpha.order second looks ahead of each step of the weights"),
    ],
)
def test_numbers_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        AlphaConfig(**changes)


def test_an_unknown_order() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown alpha\.order 'third'"):
        AlphaConfig(order="third")  # type: ignore[arg-type]
