"""Scoring on a supernet: what a plain loop gives, without touching what is learnt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.errors import InvalidValueError
from archwright.core.trial import Candidate
from archwright.evaluators import CalibrationConfig, Evaluator, SupernetEvaluator
from archwright.nn.choice import Chooser, selection_of
from archwright.nn.choice.modules import active_modules
from archwright.spaces import NasBench201, NasBench201Size, Space, SposSpace
from archwright.tasks import ImageTask
from archwright.tasks.images.in_memory import ImageSplit
from archwright.testing import (
    BranchSpace,
    ElasticSpace,
    EvaluatorContract,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    StagesSpace,
    toy_task,
)
from archwright.training.networks import build_seeded

SEED = 3


class ChainSpace(Space):
    """Ordered stages whose candidates begin with operations that work in place, three decisions: 3 x 2 x 2 archs."""

    input_shape = (3, 8, 8)
    n_classes = 4

    def network(self, choose: Chooser) -> nn.Module:
        acts = {"none": nn.Identity, "relu": partial(nn.ReLU, inplace=True), "relu6": partial(nn.ReLU6, inplace=True)}
        ops = {"pre": partial(_unit, True), "plain": partial(_unit, False)}
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)),
            choose.op("act", acts),
            choose.op("first", ops),
            choose.op("second", ops),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, self.n_classes)),
        )


def _unit(starts_in_place: bool) -> nn.Module:
    layers = [nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)]
    return nn.Sequential(nn.ReLU(inplace=True), *layers) if starts_in_place else nn.Sequential(*layers)


class _Two(nn.Module):
    """One tensor, or the two that another of these gave, → two tensors."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(n_in, 4, 1, bias=False), nn.BatchNorm2d(4))

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        before, now = x if isinstance(x, tuple) else (x, x)
        found: Tensor = self.conv(now)
        return found, found + before.mean(1, keepdim=True)


class _Join(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, n_classes)

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
        logits: Tensor = self.linear((x[0] + x[1]).mean((2, 3)))
        return logits


class PairSpace(Space):
    """Stages that hand on two tensors, as cells with two inputs do: 2 x 2 archs."""

    input_shape = (3, 8, 8)
    n_classes = 4

    def network(self, choose: Chooser) -> nn.Module:
        ops = {"one": partial(_Two, 4), "other": partial(_Two, 4)}
        return nn.Sequential(_Two(3), choose.op("first", ops), choose.op("second", ops), _Join(self.n_classes))


class OneStage(StagesSpace):
    """A single stage: rounding grows with every batch norm of four channels."""

    n_stages = 1


def small_spos() -> Space:
    return SposSpace(input_shape=(1, 8, 8), n_classes=4).search_form()


SPACES: dict[str, Callable[[], Space]] = {
    "spos": small_spos,
    "in place": ChainSpace,
    "two tensors": PairSpace,
    "no sequence": ElasticSpace,
    "one operation a node": BranchSpace,
    "widths": NumberSpace,
    "depths": OneStage,
    "cells": lambda: NasBench201(input_shape=(3, 8, 8), n_classes=4, channels=4, cells=2).search_form(),
    "widths of cells": lambda: NasBench201Size(input_shape=(3, 8, 8), n_classes=4),
}


class OnSupernet(EvaluatorContract):
    def make(self, space: Space) -> Evaluator:
        calibration = CalibrationConfig(batches=2, batch_size=32)
        return SupernetEvaluator(space, build_seeded(space, None, 0), toy_task(space), calibration, seed=SEED)


class TestOnSpos(OnSupernet):
    def make_space(self) -> Space:
        return small_spos()


class TestOnElasticLayers(OnSupernet):
    """Of every kind, in a network that is no sequence of stages."""


class TestOnStagesThatWorkInPlace(OnSupernet):
    def make_space(self) -> Space:
        return ChainSpace()


class TestOnStagesOfTwoTensors(OnSupernet):
    def make_space(self) -> Space:
        return PairSpace()


class TestOnDepths(OnSupernet):
    def make_space(self) -> Space:
        return OneStage()


class TestOnLooseEnds(OnSupernet):
    def make_space(self) -> Space:
        return LooseEndsSpace()


class TestOnCells(OnSupernet):
    def make_space(self) -> Space:
        return SPACES["cells"]()


class TestOnElasticBlocks(OnSupernet):
    def make_space(self) -> Space:
        return MBConvSpace()


@pytest.fixture(params=list(SPACES))
def space(request: pytest.FixtureRequest) -> Space:
    return SPACES[request.param]()


@pytest.fixture
def make(
    supernet_of: Callable[[Space], nn.Module], task_for: Callable[[Space], ImageTask], calibration: CalibrationConfig
) -> Callable[..., SupernetEvaluator]:
    """An evaluator of a space with its own supernet, always of the same weights."""

    def build(space: Space, **options: Any) -> SupernetEvaluator:
        return SupernetEvaluator(space, supernet_of(space), task_for(space), calibration, seed=SEED, **options)

    return build


def test_equals_a_plain_loop(
    space: Space,
    make: Callable[..., SupernetEvaluator],
    supernet_of: Callable[[Space], nn.Module],
    task_for: Callable[[Space], ImageTask],
    scored_plainly: Callable[..., tuple[float, float]],
    population: Callable[..., list[Candidate]],
) -> None:
    """Reset, forward in training mode over the calibration batches, evaluate: the same loss and accuracy."""
    candidates = population(space, 4)
    found = make(space).evaluate(candidates)
    for candidate, metrics in zip(candidates, found, strict=True):
        accuracy, loss = scored_plainly(space, supernet_of(space), task_for(space), candidate.arch, SEED)
        assert metrics["top1_accuracy"] == accuracy
        assert metrics["loss"] == pytest.approx(loss, abs=1e-5)


def test_bfloat16_is_close_to_float32(
    space: Space, make: Callable[..., SupernetEvaluator], population: Callable[..., list[Candidate]]
) -> None:
    """Losses of four archs within a twentieth; eight bits of mantissa, some ten layers."""
    candidates = population(space, 4)
    exact, short = make(space).evaluate(candidates), make(space, precision="bfloat16").evaluate(candidates)
    for one, other in zip(exact, short, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=0.05)
        assert other["loss"] != one["loss"]


def test_sharing_changes_no_bit(
    space: Space, make: Callable[..., SupernetEvaluator], population: Callable[..., list[Candidate]]
) -> None:
    """With and without memory for shared stages."""
    candidates = population(space, 5)
    assert make(space).evaluate(candidates) == make(space, max_cached_bytes=0).evaluate(candidates)


@pytest.mark.parametrize("kept_bytes", [0, 100_000, None])
def test_validation_images_are_read_once_where_they_fit(
    make: Callable[..., SupernetEvaluator], population: Callable[..., list[Candidate]], kept_bytes: int | None
) -> None:
    """Two populations of four: one pass is begun for an example, then one for all where the images fit (61 kB do in
    100 kB, the maps of all stages do not), else one a candidate; none more for the labels."""
    space = ChainSpace()
    options = {} if kept_bytes is None else {"max_cached_bytes": kept_bytes}
    evaluator, passes = make(space, **options), 0
    ordered = ImageSplit.ordered

    def counted(split: ImageSplit, batch_size: int) -> Any:
        nonlocal passes
        passes += 1
        return ordered(split, batch_size)

    candidates = population(space, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSplit, "ordered", counted)
        found = [evaluator.evaluate(candidates) for _ in range(2)]
    assert found[0] == found[1] == make(space).evaluate(candidates)
    assert passes == 1 + (8 if kept_bytes == 0 else 1)


def test_statistics_change_on_the_active_path_only(
    space: Space, make: Callable[..., SupernetEvaluator], population: Callable[..., list[Candidate]]
) -> None:
    """Norms of inactive candidates keep mean, variance and count; every active one is set."""
    evaluator = make(space)
    norms = {n: m for n, m in evaluator.supernet.named_modules() if isinstance(m, _BatchNorm)}
    before = {name: [tensor.clone() for tensor in _statistics(norm)] for name, norm in norms.items()}
    candidate = population(space, 1)[0]
    evaluator.evaluate([candidate])
    active = {name for name, module in active_modules(evaluator.supernet) if isinstance(module, _BatchNorm)}
    for name, norm in norms.items():
        same = [torch.equal(old, new) for old, new in zip(before[name], _statistics(norm), strict=True)]
        assert same == [name not in active] * 3, name
    assert active


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    return norm.running_mean, norm.running_var, norm.num_batches_tracked


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_earlier_statistics_do_not_matter(
    space: Space, make: Callable[..., SupernetEvaluator], population: Callable[..., list[Candidate]], value: float
) -> None:
    """Statistics that are far off, or no numbers, enter nothing."""
    candidates = population(space, 3)
    evaluator = make(space)
    for name, buffer in evaluator.supernet.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.fill_(value)
    assert evaluator.evaluate(candidates) == make(space).evaluate(candidates)


def test_modes_and_momenta_are_restored(
    space: Space, make: Callable[..., SupernetEvaluator], population: Callable[..., list[Candidate]]
) -> None:
    """Whatever they were, also where an evaluation fails."""
    evaluator = make(space)
    for i, module in enumerate(evaluator.supernet.modules()):
        module.training = i % 3 == 0
        if isinstance(module, _BatchNorm):
            module.momentum = 0.01 * (i + 1)
    before = _modes(evaluator.supernet)
    evaluator.evaluate(population(space, 2))
    assert _modes(evaluator.supernet) == before
    evaluator.task = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        evaluator.evaluate(population(space, 2))
    assert _modes(evaluator.supernet) == before


def _modes(network: nn.Module) -> list[Any]:
    return [
        (
            module.training,
            getattr(module, "momentum", None),
            getattr(module, "inplace", None),
            vars(module).get("forward"),
        )
        for module in network.modules()
    ]


def test_calibration_images_follow_the_seed(
    make: Callable[..., SupernetEvaluator],
    supernet_of: Callable[[Space], nn.Module],
    task_for: Callable[[Space], ImageTask],
    calibration: CalibrationConfig,
    population: Callable[..., list[Candidate]],
) -> None:
    """The same seed the same images, another seed others; the candidate's own seed plays no part."""
    space = ElasticSpace()
    candidate = population(space, 1)[0]
    other = SupernetEvaluator(space, supernet_of(space), task_for(space), calibration, seed=SEED + 1)
    found = make(space).evaluate([candidate])
    assert found == make(space).evaluate([Candidate(7, candidate.arch, 1234)])
    assert found != other.evaluate([candidate])


def test_selection_serves_another_network_afterwards(make: Callable[..., SupernetEvaluator]) -> None:
    """Scoring leaves a supernet that runs and trains like before: no tensor of inference mode remains in it."""
    evaluator = make(ElasticSpace())
    arch = evaluator.space.decisions.archs(evaluator.space.decisions.enumerate_rows())[0]
    evaluator.evaluate([Candidate(0, arch, 0)])
    selection_of(evaluator.supernet).activate(arch)
    evaluator.supernet.train()
    torch.autograd.backward(evaluator.supernet(torch.randn(4, 3, 8, 8)).sum())
    assert any(parameter.grad is not None for parameter in evaluator.supernet.parameters())


@pytest.mark.parametrize("field", ["batches", "batch_size"])
def test_calibration_needs_images(field: str) -> None:
    """Zero batches, or empty ones, would leave the statistics of nothing."""
    with pytest.raises(InvalidValueError, match=f"calibration.{field} is 0; give at least 1"):
        CalibrationConfig(**{field: 0})


def test_defaults_are_the_released_code_s() -> None:
    """200 batches of 128 training images (spos.md, section 9)."""
    assert CalibrationConfig() == CalibrationConfig(batches=200, batch_size=128)
