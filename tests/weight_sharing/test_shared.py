"""The door to shared weights, of a supernet and of a hypernetwork."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidArchError, SpaceError, UnknownNameError, UsageError
from archwright.core.trial import Candidate, derive_seed
from archwright.evaluators import CalibrationConfig, Evaluator, SupernetEvaluator
from archwright.runners.base import Outcome
from archwright.runners.pool import ProcessPool
from archwright.runners.serial import Serial
from archwright.spaces import Space
from archwright.testing import (
    BranchSpace,
    ElasticSpace,
    EvaluatorContract,
    NumberSpace,
    StrideSpace,
    ToyHypernetwork,
    toy_task,
)
from archwright.testing.contracts.space import search_parts
from archwright.weight_sharing import GeneratedWeights, SharedWeights, SupernetWeights

MAKERS: dict[str, Callable[[Space], SharedWeights]] = {
    "supernet": lambda space: SupernetWeights.build(space, 0),
    "generated": lambda space: ToyHypernetwork(space, seed=0),
}
CALIBRATION = CalibrationConfig(batches=2, batch_size=32)


class TestOnGeneratedWeights(EvaluatorContract):
    def make_space(self) -> Space:
        return StrideSpace()

    def make(self, space: Space) -> Evaluator:
        return SupernetEvaluator.of(ToyHypernetwork(space), toy_task(space), CALIBRATION)


class TestOnGeneratedBatchNorms(TestOnGeneratedWeights):
    def make_space(self) -> Space:
        return BranchSpace()


class Ordered(ToyHypernetwork):
    """Says what its stages read; its generator is cut so that it is true: the heads of all archs are one."""

    reads: ClassVar[Sequence[Collection[str]] | None] = (("down",), ("middle",), ("last",), ())

    def generate(self, arch: Arch, structure: nn.Module) -> Mapping[str, Tensor]:
        found: dict[str, Tensor] = {}
        for stage, decision in enumerate(("down", "middle", "last", None)):
            part = Arch({**_FIRST, decision: arch[decision]}) if decision else Arch(_FIRST)
            given = super().generate(part, self._structure(part))
            found |= {name: tensor for name, tensor in given.items() if name.startswith(f"{stage}.")}
        return found


_FIRST = {"down": "stride1", "middle": "conv1", "last": "plain"}


class TestOnDeclaredStages(TestOnGeneratedWeights):
    def make(self, space: Space) -> Evaluator:
        return SupernetEvaluator.of(Ordered(space), toy_task(space), CALIBRATION)


@pytest.fixture(params=MAKERS)
def shared(request: pytest.FixtureRequest) -> SharedWeights:
    return MAKERS[request.param](BranchSpace())


def _images(space: Space, n: int = 3) -> Tensor:
    return torch.randn(n, *space.input_shape, generator=torch.Generator().manual_seed(0))


def test_the_model_of_an_arch_gives_what_the_network_gives(shared: SharedWeights) -> None:
    """In evaluation mode, for every arch; with nothing of a search in it, and weights of its own."""
    shared.network.eval()
    x = _images(shared.space)
    outputs = []
    for row in shared.space.decisions.enumerate_rows():
        shared.activate(row)
        outputs.append(shared.network(x))
        network = shared.model(shared.space.decisions.arch(row))
        assert search_parts(network) == []
        assert not network.training
        assert torch.allclose(network(x), outputs[-1], atol=1e-6)
        assert torch.allclose(shared.executed(x), outputs[-1], atol=1e-6)
        with torch.no_grad():
            next(network.parameters()).add_(1.0)
        assert torch.equal(shared.network(x), outputs[-1])
    assert len({output.detach().sum().item() for output in outputs}) > 3


def test_gradients_reach_the_trained_parameters(shared: SharedWeights) -> None:
    """A pass in training mode is differentiable in what `network.parameters()` lists."""
    shared.activate(shared.space.decisions.enumerate_rows()[0])
    shared.network.train()
    torch.autograd.backward(shared.network(_images(shared.space)).square().sum())
    assert any(p.grad is not None and bool(p.grad.any()) for p in shared.network.parameters())


def test_another_process_makes_equal_ones(shared: SharedWeights, tmp_path: Path) -> None:
    """From the blueprint as it travels, JSON and a file, with weights that no seed gives."""
    with torch.no_grad():
        for parameter in shared.network.parameters():
            parameter.add_(0.1)
    made = Blueprint.from_json(shared.blueprint(tmp_path).to_json()).build()
    assert type(made) is type(shared)
    for row in shared.space.decisions.enumerate_rows()[::5]:
        arch = shared.space.decisions.arch(row)
        one, other = (each.model(arch).eval()(_images(shared.space)) for each in (shared, made))
        assert torch.equal(one, other)


def test_a_foreign_arch_is_refused(shared: SharedWeights) -> None:
    """In one line, before anything is built."""
    with pytest.raises(InvalidArchError, match="decision 'last' is missing; choose one of"):
        shared.model({"node.input": (0,), "node.op": "conv"})


def test_a_worker_process_has_the_same_figures() -> None:
    """A pool of one process with generated weights, to the bit."""
    space = NumberSpace()
    evaluator = SupernetEvaluator.of(ToyHypernetwork(space), toy_task(space), CALIBRATION)
    archs = space.decisions.archs(space.decisions.enumerate_rows())
    candidates = [Candidate(i, arch, i) for i, arch in enumerate(archs)]
    found = []
    for runner in (Serial(), ProcessPool(1)):
        with runner.start(evaluator) as running:
            running.submit(candidates)
            outcomes: dict[int, Outcome] = {}
            for i in range(len(candidates)):
                if i not in outcomes:
                    outcomes |= {outcome.number: outcome for outcome in running.collect(i)}
        found.append([outcomes[i].metrics for i in range(len(candidates))])
    assert found[0] == found[1]
    assert len({tuple(metrics.values()) for metrics in found[0]}) > 1


def test_a_mixture_needs_a_supernet() -> None:
    """Generated weights refuse it in one line."""
    weights = {"last": [(0, 0.5), (1, 0.5)]}
    supernet = SupernetWeights.build(BranchSpace(), 0)
    supernet.relax(weights, {"node.input": (0,)})
    assert supernet.network(_images(supernet.space)).shape == (3, 3)
    with pytest.raises(UsageError, match=r"^ToyHypernetwork runs one arch at a time and has no mixtures; activate"):
        ToyHypernetwork(BranchSpace()).relax(weights)


def test_stages_read_what_their_modules_read() -> None:
    """A sequence of four: three choices and a classifier; a network that is no sequence is one stage."""
    stages = SupernetWeights.build(StrideSpace(), 0).stages()
    assert stages is not None
    assert [set(stage.reads) for stage in stages] == [{"down"}, {"middle"}, {"last"}, set()]
    stages = SupernetWeights.build(ElasticSpace(), 0).stages()
    assert stages is not None
    assert [stage.reads for stage in stages] == [frozenset(ElasticSpace().decisions.names)]


def test_generated_stages_are_known_where_they_are_declared() -> None:
    """One collection for each; a count that is not the network's and a name that is none are refused."""
    row = StrideSpace().decisions.enumerate_rows()[0]
    shared: GeneratedWeights = ToyHypernetwork(StrideSpace())
    assert shared.stages() is None
    shared = Ordered(StrideSpace())
    shared.activate(row)
    stages = shared.stages()
    assert stages is not None
    assert [stage.module for stage in stages] == list(shared.executed.children())
    shared.reads = (("down",),)  # type: ignore[misc]
    with pytest.raises(SpaceError, match="declares what 1 stages read, but the network is Sequential of 4"):
        shared.stages()
    shared.reads = (("dwn",), (), (), ())  # type: ignore[misc]
    with pytest.raises(UnknownNameError, match="unknown decision 'dwn'; did you mean down"):
        shared.stages()


class Short(ToyHypernetwork):
    """Forgets the last parameter."""

    def generate(self, arch: Arch, structure: nn.Module) -> Mapping[str, Tensor]:
        return dict(list(super().generate(arch, structure).items())[:-1])


def test_every_parameter_has_to_be_generated() -> None:
    """The first that is missing is named, with its shape."""
    with pytest.raises(SpaceError, match=r"Short generates \S+ of shape None; the network has \(3,\); give every"):
        Short(BranchSpace()).model(BranchSpace().decisions.arch(BranchSpace().decisions.enumerate_rows()[0]))


def test_nothing_is_active_at_first() -> None:
    """One line says what to do."""
    with pytest.raises(UsageError, match=r"no arch is active; call activate\(row\) first"):
        ToyHypernetwork(BranchSpace()).network(_images(BranchSpace()))


def test_gradients_of_a_hypernetwork_are_those_of_differences() -> None:
    """In float64, along a random direction of all its parameters."""
    shared = ToyHypernetwork(StrideSpace())
    shared.network.double()
    shared.activate(shared.space.decisions.enumerate_rows()[3])
    x, parameters = _images(shared.space).double(), list(shared.network.parameters())
    direction = [torch.randn_like(p) for p in parameters]

    def loss() -> Tensor:
        total: Tensor = shared.network(x).square().sum()
        return total

    gradients = torch.autograd.grad(loss(), parameters)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True))
    ends = []
    with torch.no_grad():
        for sign in (1, -2):
            for p, d in zip(parameters, direction, strict=True):
                p.add_(sign * 1e-6 * d)
            ends.append(loss().item())
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_a_pass_leaves_no_trace_in_the_next() -> None:
    """Running statistics begin afresh: an earlier pass of the same arch in training mode does not matter."""
    shared = ToyHypernetwork(BranchSpace())
    shared.activate(shared.space.decisions.enumerate_rows()[0])
    x = _images(shared.space)
    shared.network.eval()
    before = shared.network(x)
    shared.network.train()
    shared.network(x + 5)
    shared.network.eval()
    assert torch.equal(shared.network(x), before)


def test_scores_of_generated_weights_are_those_of_a_plain_loop() -> None:
    """Cumulative statistics over the calibration images, then the loss on the validation part."""
    space: Any = BranchSpace()
    task, shared = toy_task(space), ToyHypernetwork(space)
    candidates = [
        Candidate(i, a, i) for i, a in enumerate(space.decisions.archs(space.decisions.enumerate_rows()[::4]))
    ]
    evaluator = SupernetEvaluator.of(shared, task, CALIBRATION)
    split = task.split("train").batches(32, seed=derive_seed(0, "calibration"), n_steps=2)
    images = [batch.inputs for batch in split]
    for candidate, metrics in zip(candidates, evaluator.evaluate(candidates), strict=True):
        network = shared.model(candidate.arch)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        network.train()
        with torch.no_grad():
            for batch in images:
                network(batch)
            network.eval()
            batch = next(task.split("validation").ordered(10_000))
            assert metrics["loss"] == pytest.approx(float(task.loss(network(batch.inputs), batch)), rel=1e-5)
    assert np.ptp([metrics["loss"] for metrics in evaluator.evaluate(candidates)]) > 0.01
