"""The contract of evaluators finds what an evaluator can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Metrics
from archwright.evaluators import CalibrationConfig, Evaluator, SupernetEvaluator
from archwright.spaces import Space
from archwright.testing import BranchSpace, EvaluatorContract, toy_task
from archwright.training.networks import build_seeded

CALIBRATION = CalibrationConfig(batches=1, batch_size=32)


class Ranking(SupernetEvaluator):
    """Scores a candidate by its place in the population."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        found = super().evaluate(candidates)
        return [dict(metrics, rank=float(i)) for i, metrics in enumerate(found)]


class Noisy(SupernetEvaluator):
    """Draws from the global random state."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [dict(metrics, noise=float(torch.rand(()))) for metrics in super().evaluate(candidates)]


class Numbered(SupernetEvaluator):
    """Lets the number of a trial matter."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        found = super().evaluate(candidates)
        return [dict(metrics, n=float(c.number)) for metrics, c in zip(found, candidates, strict=True)]


class Training(SupernetEvaluator):
    """Changes the weights it scores with."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        with torch.no_grad():
            next(self.supernet.parameters()).mul_(1.01)
        return super().evaluate(candidates)


class Peeking(SupernetEvaluator):
    """Looks at the test part."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        self.task.split("test")
        return super().evaluate(candidates)


class Fresh(SupernetEvaluator):
    """Hands out a network with other weights."""

    def model(self, arch: Arch, seed: int = 0) -> nn.Module:
        return self.space.build(arch).eval()


class Whole(SupernetEvaluator):
    """Hands out the supernet itself."""

    def model(self, arch: Arch, seed: int = 0) -> nn.Module:
        super().model(arch, seed)
        return self.supernet


class Lax(SupernetEvaluator):
    """Hands out a network in training mode."""

    def model(self, arch: Arch, seed: int = 0) -> nn.Module:
        return super().model(arch, seed).train()


class Endless(SupernetEvaluator):
    """Has a figure that is no number."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [dict(metrics, ratio=float("nan")) for metrics in super().evaluate(candidates)]


class Contract(EvaluatorContract):
    member: type[SupernetEvaluator] = SupernetEvaluator

    def make(self, space: Space) -> Evaluator:
        return self.member(space, build_seeded(space, None, 0), toy_task(space), CALIBRATION)

    def make_space(self) -> Space:
        return BranchSpace()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Ranking, "test_metrics_do_not_depend_on_the_population"),
        (Training, "test_metrics_do_not_depend_on_the_population"),
        (Noisy, "test_same_seed_same_metrics"),
        (Numbered, "test_same_seed_same_metrics"),
        (Training, "test_learnable_parameters_keep_every_bit"),
        (Peeking, "test_test_part_is_not_read"),
        (Fresh, "test_model_is_worth_what_was_told"),
        (Whole, "test_model_is_a_plain_network"),
        (Lax, "test_model_is_a_plain_network"),
        (Endless, "test_one_set_of_metrics_a_candidate"),
    ],
)
def test_a_broken_evaluator_is_noticed(fails: Callable[..., bool], broken: type[SupernetEvaluator], test: str) -> None:
    """By the test that states what it breaks; the sound one passes it."""
    contract = Contract()
    assert not fails(contract, test)
    contract.member = broken
    assert fails(contract, test)
