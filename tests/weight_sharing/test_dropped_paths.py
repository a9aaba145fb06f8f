"""Training with path dropout: the contract, ghost batches, and what a dropped path keeps."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.core.errors import InvalidValueError
from archwright.nn import selection_of
from archwright.policies import PathDropout, Policy, Uniform
from archwright.spaces import Space
from archwright.testing import BranchSpace, WeightSharingContract, toy_task
from archwright.training.config import TrainingConfig
from archwright.weight_sharing import DroppedPaths, SupernetWeights
from archwright.weight_sharing.base import WeightSharing


class TestContract(WeightSharingContract):
    trains_generated: ClassVar[bool] = False
    takes_any_policy: ClassVar[bool] = False

    def make(self, training: TrainingConfig) -> WeightSharing:
        return DroppedPaths(training, 8)

    def make_policy(self, space: Space) -> Policy:
        return PathDropout(space, 0.3)


def test_paths_that_no_ghost_batch_ran_keep_every_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """path-dropout.md, fact 4: no decay and no momentum, though both are large."""
    space = BranchSpace()
    shared, policy = SupernetWeights.build(space, 0), PathDropout(space, 0.5)
    monkeypatch.setattr(
        policy, "paths", lambda *_: {"node.input": [(1, 1.0)], "node.op": [(0, 1.0)], "last": [(0, 1.0)]}
    )
    before = {name: p.detach().clone() for name, p in shared.network.named_parameters()}
    training = TrainingConfig(steps=3, batch_size=16, weight_decay=0.1, learning_rate=0.1)
    DroppedPaths(training, 8).fit(shared, policy, toy_task(space), seed=0)
    same = {name for name, p in shared.network.named_parameters() if torch.equal(p, before[name])}
    assert same == {name for name in before if name.startswith(("node.0.", "node.2."))}


def test_ghost_batches_have_paths_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """path-dropout.md, fact 5: two of a step may differ."""
    space = BranchSpace()
    shared, seen = SupernetWeights.build(space, 0), list[tuple[int, dict[str, list[int]]]]()
    network = shared.network

    def watched(x: Tensor) -> Tensor:
        weights = selection_of(network).weights
        assert weights is not None
        seen.append((len(x), {name: [i for i, _ in each] for name, each in weights.items()}))
        return type(network).forward(network, x)

    monkeypatch.setattr(network, "forward", watched)
    DroppedPaths(TrainingConfig(steps=8, batch_size=16), 8).fit(
        shared, PathDropout(space, 0.9), toy_task(space), seed=0
    )
    assert [n for n, _ in seen] == [8] * 16
    assert any(first != second for (_, first), (_, second) in zip(seen[::2], seen[1::2], strict=True))


def test_a_selected_arch_computes_what_it_would_on_its_own() -> None:
    """path-dropout.md, fact 3: dropping all other paths is the network of the arch, to the bit."""
    space = BranchSpace()
    shared = SupernetWeights.build(space, 0)
    shared.network.eval()
    x = torch.randn(3, *space.input_shape)
    for row in space.decisions.sample(4, np.random.default_rng(0)):
        arch = space.decisions.arch(row)
        shared.relax({name: [(int(i), 1.0)] for name, i in zip(space.decisions.names, row, strict=True)})
        assert torch.equal(shared.network(x), shared.model(arch).eval()(x))


def test_a_path_at_weight_0_gives_its_shape_alone() -> None:
    """No gradient, and zeros."""
    space = BranchSpace()
    shared = SupernetWeights.build(space, 0)
    shared.relax({"node.op": [(0, 0.0)], "node.input": [(0, 1.0)]})
    torch.autograd.backward(shared.network(torch.randn(2, *space.input_shape)).sum())
    assert all(p.grad is None for name, p in shared.network.named_parameters() if name.startswith("node."))


def test_a_ghost_that_does_not_divide_the_batch() -> None:
    with pytest.raises(InvalidValueError, match="ghost is 5 and the batch 16; give a divisor of the batch, or None"):
        DroppedPaths(TrainingConfig(steps=1, batch_size=16), 5)


def test_a_policy_that_drops_no_paths() -> None:
    space = BranchSpace()
    with pytest.raises(InvalidValueError, match="Uniform drops no paths; give a PathDropout"):
        DroppedPaths(TrainingConfig(steps=1)).fit(
            SupernetWeights.build(space, 0), Uniform(space), toy_task(space), seed=0
        )
