"""Candidates trained on their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from archwright.core.trial import Candidate
from archwright.evaluators import Evaluator, FromScratch
from archwright.spaces import Space
from archwright.tasks import ImageTask
from archwright.testing import EvaluatorContract, NumberSpace, toy_task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.loop import fit
from archwright.training.networks import build_seeded

TRAINING = TrainingConfig(steps=3, batch_size=32)


class TestContract(EvaluatorContract):
    tolerance = 0.0

    def make(self, space: Space) -> Evaluator:
        return FromScratch(space, toy_task(space), TRAINING)

    def make_space(self) -> Space:
        return NumberSpace()


@pytest.fixture
def evaluator(task_for: Callable[[Space], ImageTask]) -> FromScratch:
    space = NumberSpace()
    return FromScratch(space, task_for(space), TRAINING)


def test_metrics_are_those_of_a_training_by_hand(
    evaluator: FromScratch, population: Callable[..., list[Candidate]]
) -> None:
    """Built from the candidate's seed, trained on the training part, scored on the validation part."""
    candidate = population(evaluator.space, 3)[2]
    network = build_seeded(evaluator.space, candidate.arch, candidate.seed)
    fit(network, evaluator.task, TRAINING, part="train", seed=candidate.seed)
    assert evaluator.evaluate([candidate]) == [evaluate(network, evaluator.task, "validation")]


def test_seed_decides(evaluator: FromScratch, population: Callable[..., list[Candidate]]) -> None:
    """Two seeds, two trainings."""
    arch = population(evaluator.space, 1)[0].arch
    one, other = evaluator.evaluate([Candidate(0, arch, 1), Candidate(1, arch, 2)])
    assert one != other


def test_budget_replaces_the_steps(evaluator: FromScratch, population: Callable[..., list[Candidate]]) -> None:
    """A candidate with a budget of 5 is trained for 5 steps, also where the config counts epochs."""
    arch = population(evaluator.space, 1)[0].arch
    longer = FromScratch(evaluator.space, evaluator.task, TrainingConfig(steps=5, batch_size=32))
    by_epochs = FromScratch(evaluator.space, evaluator.task, TrainingConfig(epochs=9, batch_size=32))
    expected = longer.evaluate([Candidate(0, arch, 1)])
    assert evaluator.evaluate([Candidate(0, arch, 1, budget=5)]) == expected
    assert by_epochs.evaluate([Candidate(0, arch, 1, budget=5)]) == expected


def test_initial_weights_follow_the_seed_alone() -> None:
    """Not torch's global state, which is left as it was; supernet and stand-alone network alike."""
    space = NumberSpace()
    arch = space.decisions.archs(space.decisions.enumerate_rows())[0]
    for which in (None, arch):
        torch.manual_seed(1)
        one = _bits(build_seeded(space, which, 7))
        drawn = torch.rand(1)
        torch.manual_seed(1)
        assert torch.equal(drawn, torch.rand(1))
        assert all(map(torch.equal, one, _bits(build_seeded(space, which, 7))))
        assert not all(map(torch.equal, one, _bits(build_seeded(space, which, 8))))


def _bits(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in network.parameters()]
