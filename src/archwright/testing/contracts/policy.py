"""What every policy promises: members of the space, by the generator alone; and what one that learns promises."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from archwright.core.decisions import Rows
from archwright.core.errors import RunError, RunFolderError, UsageError
from archwright.nn.choice import selection_of
from archwright.policies.base import Policy
from archwright.policies.learned import LearnedPolicy
from archwright.spaces.base import Space
from archwright.testing.contracts.base import Contract, error_of, skip, to_do
from archwright.testing.spaces import BranchSpace, MBConvSpace

N_DRAWS = 4_000

T = TypeVar("T")


class PolicyContract(Contract):
    """Tests of one policy."""

    def make(self, space: Space) -> Policy:
        """The policy; each call makes an equal one."""
        to_do(self, "make(self, space: Space) -> Policy")

    def make_space(self) -> Space:
        """The space of all tests: some of its decisions have conditions, and it can be enumerated."""
        return MBConvSpace()

    def test_draws_are_members(self) -> None:
        """As many rows as asked for, each an arch of the space, without a progress and at any."""
        space = self.make_space()
        policy = self.make(space)
        for progress in (None, np.linspace(0, 1, 64, endpoint=False)):
            rows = policy.draw(64, np.random.default_rng(0), progress)
            assert rows.shape == (64, len(space.decisions))
            assert space.decisions.contains(rows).all()
        assert policy.draw(0, np.random.default_rng(0)).shape == (0, len(space.decisions))

    def test_only_the_generator_decides(self) -> None:
        """Same seed, same rows, whatever the global random states, which stay as they are; another seed differs."""
        space = self.make_space()
        np.random.seed(98)
        torch.manual_seed(98)
        first = self.make(space).draw(40, np.random.default_rng(3))
        torch.manual_seed(99)
        np.random.seed(99)
        before = torch.get_rng_state()
        assert (self.make(space).draw(40, np.random.default_rng(3)) == first).all()
        assert torch.equal(torch.get_rng_state(), before)
        assert not (self.make(space).draw(40, np.random.default_rng(4)) == first).all()

    def test_drawing_changes_nothing(self) -> None:
        """What was drawn before, and how much, does not matter: a training may be resumed anywhere."""
        policy = self.make(self.make_space())
        first = policy.draw(20, np.random.default_rng(3))
        policy.draw(7, np.random.default_rng(5))
        assert (policy.draw(20, np.random.default_rng(3)) == first).all()


class LearnedPolicyContract(PolicyContract):
    """Tests of one policy that learns; its parameters are set to random ones."""

    def make(self, space: Space) -> LearnedPolicy:
        """The policy; each call makes an equal one."""
        to_do(self, "make(self, space: Space) -> LearnedPolicy")

    def make_other_space(self) -> Space:
        """A space whose policies are of another form."""
        return BranchSpace()

    def trained(self, space: Space | None = None, *, spread: float = 0.7) -> LearnedPolicy:
        """The policy in float64 with parameters that are no special case."""
        policy = self.make(space or self.make_space()).double()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        return policy

    def test_probabilities_of_all_archs_sum_to_one(self) -> None:
        """By enumeration."""
        policy, rows = self._enumerated()
        assert math.isclose(policy.log_prob(rows).exp().sum().item(), 1.0, abs_tol=1e-9)

    def test_draws_are_as_frequent_as_probable(self) -> None:
        """A chi-square over all archs, rare ones joined, does not reject."""
        from scipy.stats import chisquare

        policy, rows = self._enumerated()
        expected = N_DRAWS * policy.log_prob(rows).exp().detach().numpy()
        drawn = policy.draw(N_DRAWS, np.random.default_rng(0))
        place = {tuple(row): i for i, row in enumerate(rows.tolist())}
        counts = np.bincount([place[tuple(row)] for row in drawn.tolist()], minlength=len(rows))
        often = expected >= 5
        joined = [np.append(each[often], each[~often].sum()) for each in (counts, expected)]
        keep = joined[1] > 1e-9
        assert chisquare(joined[0][keep], joined[1][keep] * joined[0].sum() / joined[1].sum()).pvalue > 0.001

    def test_mean_entropy_of_rows_is_that_of_the_policy(self) -> None:
        """The probable mean of `entropy` is −Σ p log p over all archs (the chain rule of entropy)."""
        policy, rows = self._enumerated()
        log_p = policy.log_prob(rows)
        exact = -(log_p.exp() * log_p).sum()
        assert math.isclose((log_p.exp() * policy.entropy(rows)).sum().item(), exact.item(), rel_tol=1e-9)

    def test_gradients_are_those_of_differences(self) -> None:
        """Of log-probability and entropy, in a random direction, in float64."""
        policy = self.trained()
        rows = policy.draw(5, np.random.default_rng(2))
        for score in (policy.log_prob, policy.entropy):
            _check_gradient(policy, lambda score=score: score(rows).sum())  # type: ignore[misc]

    def test_descent_makes_an_arch_likelier(self) -> None:
        """Some steps up the log-probability of one arch, and it is the best row."""
        policy = self.make(self.make_space())
        row = policy.draw(1, np.random.default_rng(8))
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            torch.autograd.backward(-policy.log_prob(row).sum())
            optimizer.step()
        assert policy.log_prob(row).exp().item() > 0.5
        assert (policy.best_row() == row[0]).all()

    def test_best_row_is_a_member(self) -> None:
        """Inactive decisions are left out."""
        policy = self.trained()
        row = policy.best_row()
        assert policy.decisions.contains(row[None]).all()

    def test_independent_probabilities_give_the_log_probability(self) -> None:
        """Summed over the active decisions of a row; a policy without them says so in one line."""
        policy = self.trained()
        found = _offered(policy.probabilities)
        if found is None:
            skip("its decisions depend on each other")
        rows = policy.draw(20, np.random.default_rng(0))
        logs = np.zeros(len(rows))
        for chances, column in zip(found.values(), rows.T, strict=True):
            logs += np.where(column >= 0, chances.log().detach().numpy()[column], 0.0)
        assert np.allclose(policy.log_prob(rows).detach().numpy(), logs)
        assert tuple(found) == policy.decisions.names

    def test_a_mixture_relaxes_a_supernet(self) -> None:
        """Its weights are taken by `Selection.relax`, and the output has a gradient by the parameters."""
        if _offered(lambda: self.make(self.make_space()).mixture(np.random.default_rng(0), 0.5)) is None:
            skip("it has no mixture")
        space = BranchSpace()
        policy = self.make(space)
        weights = policy.mixture(np.random.default_rng(0), 0.5)
        supernet = space.supernet()
        selection_of(supernet).relax(weights)
        torch.autograd.backward(supernet(torch.randn(2, *space.input_shape)).square().sum())
        assert any(p.grad is not None and bool(p.grad.any()) for p in policy.parameters())

    def test_state_comes_back(self) -> None:
        """From a file, into a policy made anew, to the bit; its tensors stay the same objects."""
        policy, fresh = self.trained(), self.make(self.make_space()).double()
        before = [id(parameter) for parameter in fresh.parameters()]
        with tempfile.TemporaryDirectory() as folder:
            policy.save(Path(folder) / "policy.safetensors")
            fresh.restore(Path(folder) / "policy.safetensors")
        rows = policy.draw(10, np.random.default_rng(0))
        assert torch.equal(policy.log_prob(rows), fresh.log_prob(rows))
        assert before == [id(parameter) for parameter in fresh.parameters()]

    def test_state_of_another_space_is_refused(self) -> None:
        """In one line that names both spaces; nothing is changed."""
        policy, other = self.trained(), self.make(self.make_other_space()).double()
        before = {name: tensor.clone() for name, tensor in other.tensors().items()}
        with tempfile.TemporaryDirectory() as folder:
            policy.save(Path(folder) / "policy.safetensors")
            message = error_of(RunFolderError, lambda: other.restore(Path(folder) / "policy.safetensors"))
        assert policy.space.name in message
        assert other.space.name in message
        error_of(RunFolderError, lambda: other.load(policy.tensors()))
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.tensors().items())

    def test_rows_of_another_space_are_refused(self) -> None:
        """By their number of decisions or their values; in one line that names the policy's space."""
        policy = self.trained()
        rows = policy.draw(2, np.random.default_rng(0))
        beyond = rows.copy()
        beyond[0, 0] = policy.decisions.n_values[0]
        for foreign in (rows[:, :-1], np.concatenate([rows, rows], axis=1), beyond):
            for score in (policy.log_prob, policy.entropy):
                assert repr(policy.space.name) in error_of(UsageError, partial(score, foreign))

    def test_ruined_parameters_draw_nothing(self) -> None:
        """An α or a weight that is not a number ends the run, with the parameter's name."""
        policy = self.trained()
        name, parameter = next(iter(policy.named_parameters()))
        with torch.no_grad():
            parameter.flatten()[0] = float("nan")
        assert name in error_of(RunError, lambda: policy.draw(3, np.random.default_rng(0)))

    def _enumerated(self) -> tuple[LearnedPolicy, Rows]:
        space = self.make_space()
        if space.size() > 2_000:
            skip("its space is too large to enumerate")
        return self.trained(space), space.decisions.enumerate_rows()


def _offered(ask: Callable[[], T]) -> T | None:
    """What a policy gives, or None where it says in one line that it has none."""
    try:
        return ask()
    except UsageError as error:
        message = str(error)
    assert "\n" not in message
    return None


def _check_gradient(policy: LearnedPolicy, score: Callable[[], Tensor], step: float = 1e-5) -> None:
    """The slope of a score along a random direction of the parameters, by differences and by autograd."""
    parameters = list(policy.parameters())
    generator = torch.Generator().manual_seed(4)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    gradients = torch.autograd.grad(score(), parameters, allow_unused=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True) if g is not None)
    found = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, each in zip(parameters, direction, strict=True):
                parameter.add_(sign * step * each)
            found.append(score().item())
    assert math.isclose((found[0] - found[1]) / (2 * step), slope, rel_tol=1e-5, abs_tol=1e-7)
