"""The contract of weight sharing finds what a training of shared weights can get wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from archwright.testing import WeightSharingContract
from archwright.training.config import TrainingConfig
from archwright.training.log import TrainingLog
from archwright.weight_sharing import SharedWeights, UniformPath, WeightSharing


class Idle(UniformPath):
    """Trains a copy."""

    def fit(self, shared: Any, *args: Any, **options: Any) -> TrainingLog:
        network = shared.network if isinstance(shared, SharedWeights) else shared
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        log = super().fit(shared, *args, **options)
        with torch.no_grad():
            for name, p in network.named_parameters():
                p.copy_(before[name])
        return log


class Awake(UniformPath):
    """Leaves the network in training mode."""

    def fit(self, shared: Any, *args: Any, **options: Any) -> TrainingLog:
        log = super().fit(shared, *args, **options)
        (shared.network if isinstance(shared, SharedWeights) else shared).train()
        return log


class Unseeded(UniformPath):
    """Draws its seed from the global random state."""

    def fit(self, *args: Any, seed: int, **options: Any) -> TrainingLog:
        return super().fit(*args, seed=int(torch.randint(1000, ())), **options)


class Peeking(UniformPath):
    """Looks at the validation part."""

    def fit(self, shared: Any, policy: Any, task: Any, **options: Any) -> TrainingLog:
        task.split("validation")
        return super().fit(shared, policy, task, **options)


class Beginning(UniformPath):
    """Begins anew after an interruption, with the weights there are."""

    def fit(self, *args: Any, phase: Any = None, **options: Any) -> TrainingLog:
        if phase is not None and phase.stored is not None and not phase.is_done:
            phase.stored = None
            options["seed"] += 1
        return super().fit(*args, phase=phase, **options)


class Contract(WeightSharingContract):
    member: type[UniformPath] = UniformPath

    def make(self, training: TrainingConfig) -> WeightSharing:
        return self.member(training)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Idle, "test_it_trains_in_place"),
        (Awake, "test_it_trains_in_place"),
        (Unseeded, "test_same_seed_same_weights"),
        (Peeking, "test_the_training_part_alone_is_read"),
        (Beginning, "test_an_interruption_changes_no_bit"),
    ],
)
def test_a_broken_training_is_noticed(fails: Callable[..., bool], broken: type[UniformPath], test: str) -> None:
    """By the test that states what it breaks; the sound one passes it."""
    contract = Contract()
    assert not fails(contract, test)
    contract.member = broken
    assert fails(contract, test)
