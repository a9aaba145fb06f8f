"""What every way to share weights promises: trained in place, by the seed alone, and resumed to the same bits."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from archwright.policies.base import Policy
from archwright.policies.categorical import Categorical
from archwright.policies.uniform import Uniform
from archwright.spaces.base import Space
from archwright.tasks.base import Part, Split, Task
from archwright.testing.contracts.base import Contract, to_do
from archwright.testing.spaces import BranchSpace
from archwright.testing.tasks import toy_task
from archwright.testing.weights import ToyHypernetwork
from archwright.training.config import TrainingConfig
from archwright.training.log import TrainingLog
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.shared import SharedWeights, SupernetWeights

N_STEPS = 6


class WeightSharingContract(Contract):
    """Tests of one way to share weights, on a toy space and task.

    Attributes:
        trains_generated: Whether it can train weights that are generated; False where it needs mixtures.
        takes_any_policy: Whether archs may be drawn from any policy, or only from those that `make_policy` gives.
        reads: Parts of the data that it reads.
    """

    trains_generated: ClassVar[bool] = True
    takes_any_policy: ClassVar[bool] = True
    reads: ClassVar[set[Part]] = {"train"}

    def make(self, training: TrainingConfig) -> WeightSharing:
        """The member, for a training of that length and batch size."""
        to_do(self, "make(self, training: TrainingConfig) -> WeightSharing")

    def make_space(self) -> Space:
        """The space of all tests; a toy hypernetwork can list its archs."""
        return BranchSpace()

    def make_policy(self, space: Space) -> Policy:
        """What archs are drawn from."""
        return Uniform(space)

    # ── what is trained ───────────────────────────────────────────────────────────────────────────

    def test_it_trains_in_place(self) -> None:
        """Weights move and stay finite, the network is left in evaluation mode, the log has every step."""
        for shared in self._kinds():
            before = _parameters(shared)
            log = self._fit(shared)
            after = _parameters(shared)
            assert any(not torch.equal(after[name], before[name]) for name in before)
            assert all(bool(tensor.isfinite().all()) for tensor in after.values())
            assert not shared.network.training
            assert log.steps == self._member().n_steps(self._task()) >= N_STEPS
            assert np.isfinite(log.final_loss)

    def test_a_supernet_stands_for_its_own_weights(self) -> None:
        """Given as a module it is trained to the same bits."""
        one, other = self._shared(), self._shared()
        self._fit(one)
        self._member().fit(other.network, self.make_policy(self.make_space()), self._task(), seed=1)
        assert _same(one, other)

    def test_archs_run_afterwards(self) -> None:
        """Each arch can be activated and taken out, and no gradient is left behind."""
        shared = self._shared()
        self._fit(shared)
        x = torch.randn(2, *shared.space.input_shape)
        for row in shared.space.decisions.sample(3, np.random.default_rng(0)):
            shared.activate(row)
            assert torch.allclose(shared.network(x), shared.model(shared.space.decisions.arch(row))(x), atol=1e-5)
        assert all(parameter.grad is None for parameter in shared.network.parameters())

    def test_the_training_part_alone_is_read(self) -> None:
        """Neither validation nor test examples are seen."""
        task = self._task()
        asked: list[Part] = []
        split = task.split

        def watched(part: Part) -> Split:
            asked.append(part)
            return split(part)

        task.split = watched  # type: ignore[method-assign]
        self._member().fit(self._shared(), self.make_policy(self.make_space()), task, seed=1)
        assert set(asked) == self.reads

    # ── what it depends on ────────────────────────────────────────────────────────────────────────

    def test_same_seed_same_weights(self) -> None:
        """Bit for bit, whatever the global random state, which stays as it is; another seed differs."""
        one, other, third = (self._shared() for _ in range(3))
        first = self._fit(one)
        torch.manual_seed(99)
        np.random.seed(99)
        before = torch.get_rng_state()
        assert self._fit(other).curve == first.curve
        assert torch.equal(torch.get_rng_state(), before)
        assert _same(one, other)
        self._fit(third, seed=2)
        assert not _same(one, third)

    def test_an_interruption_changes_no_bit(self) -> None:
        """Killed behind any step and resumed from its checkpoint, with a policy that has a state too."""
        policies = [self.make_policy(self.make_space())]
        if self.takes_any_policy:
            policies.append(Categorical(self.make_space(), spread=1.0))
        for policy in policies:
            whole = self._shared()
            log = self._fit(whole, copy.deepcopy(policy))
            for dies_after in (1, N_STEPS - 1):
                phase = _Kept(dies_after)
                try:
                    self._fit(self._shared(), copy.deepcopy(policy), phase=phase)
                except _Killed:
                    pass
                else:
                    raise AssertionError("the phase was not told of the steps")
                resumed = self._shared()
                assert self._fit(resumed, copy.deepcopy(policy), phase=_Kept(stored=phase.stored)).curve == log.curve
                assert _same(resumed, whole)

    def test_a_finished_phase_is_only_loaded(self) -> None:
        """The weights of the end, with no step made."""
        phase = _Kept()
        whole = self._shared()
        log = self._fit(whole, phase=phase)
        again, loaded = self._shared(), _Kept(stored=phase.stored)
        loaded.is_done = True
        assert self._fit(again, phase=loaded).curve == log.curve
        assert _same(again, whole)
        assert loaded.n_advanced == 0

    # ── parts ─────────────────────────────────────────────────────────────────────────────────────

    def _member(self) -> WeightSharing:
        return self.make(TrainingConfig(steps=N_STEPS, batch_size=16, learning_rate=0.05, schedule="linear"))

    def _task(self) -> Task:
        return toy_task(self.make_space())

    def _shared(self) -> SharedWeights:
        return SupernetWeights.build(self.make_space(), 0)

    def _kinds(self) -> list[SharedWeights]:
        generated: list[SharedWeights] = [ToyHypernetwork(self.make_space())] if self.trains_generated else []
        return [self._shared(), *generated]

    def _fit(
        self, shared: SharedWeights, policy: Policy | None = None, *, seed: int = 1, phase: Any = None
    ) -> TrainingLog:
        policy = policy or self.make_policy(self.make_space())
        return self._member().fit(shared, policy, self._task(), seed=seed, phase=phase)


class _Killed(Exception):
    """Stands for the end of the process."""


class _Kept:
    """A phase in memory that is due for a checkpoint at every step; the state goes through JSON as on disk."""

    is_due = True

    def __init__(self, dies_after: int | None = None, stored: tuple[dict[str, Tensor], Any] | None = None) -> None:
        self.dies_after, self.stored, self.is_done, self.n_advanced = dies_after, stored, False, 0

    def restore(self) -> tuple[dict[str, Tensor], Any] | None:
        return self.stored

    def checkpoint(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        self.stored = {name: tensor.detach().clone() for name, tensor in tensors.items()}, json.loads(json.dumps(state))

    def finish(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        self.checkpoint(tensors, state)
        self.is_done = True

    def advance(self, done: int, **_: object) -> None:
        self.n_advanced += 1
        if self.dies_after is not None and done > self.dies_after:
            raise _Killed


def _parameters(shared: SharedWeights) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _named(shared.network)}


def _named(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [*network.named_parameters(), *network.named_buffers()]


def _same(one: SharedWeights, other: SharedWeights) -> bool:
    """Whether parameters and buffers agree to the bit."""
    pairs = zip(_named(one.network), _named(other.network), strict=True)
    return all(name == other_name and torch.equal(a, b) for (name, a), (other_name, b) in pairs)
