"""The contracts of policies find what a policy can get wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.core.decisions import Rows
from archwright.policies import Categorical
from archwright.policies.base import Progress
from archwright.spaces import Space
from archwright.testing import LearnedPolicyContract


class Foreign(Categorical):
    """Gives inactive decisions a value."""

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return np.maximum(super().draw(n, rng), 0)


class Global(Categorical):
    """Draws from the global random state."""

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return super().draw(n, np.random.default_rng(np.random.randint(1000)))


class Counting(Categorical):
    """Draws otherwise each time."""

    n_drawn = 0

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        self.n_drawn += 1
        rng.random(self.n_drawn)
        return super().draw(n, rng)


class Flat(Categorical):
    """Draws every value equally often, whatever its parameters."""

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return self.decisions.sample_by_decision(n, rng)


class Everything(Categorical):
    """Counts inactive decisions too."""

    def log_prob(self, rows: Rows) -> Tensor:
        return super().log_prob(np.maximum(rows, 0))


class Bits(Categorical):
    """Its entropy is in bits."""

    def entropy(self, rows: Rows) -> Tensor:
        return super().entropy(rows) / np.log(2)


class Cut(Categorical):
    """Passes half of the gradient on."""

    def log_prob(self, rows: Rows) -> Tensor:
        found = super().log_prob(rows)
        return (found + found.detach()) / 2


class First(Categorical):
    """Its best row is the first one."""

    def best_row(self) -> Rows:
        row: Rows = self.decisions.enumerate_rows()[0]
        return row


class Forgetful(Categorical):
    """Its state has no tensors."""

    def tensors(self) -> dict[str, Tensor]:
        return {}


class Trusting(Categorical):
    """Takes any state."""

    def load_state(self, state: Any) -> None: ...

    def load(self, tensors: Any) -> None:
        with torch.no_grad():
            n = min(len(self.alpha), len(tensors["alpha"]))
            self.alpha[:n] = tensors["alpha"][:n]


class Contract(LearnedPolicyContract):
    member: type[Categorical] = Categorical

    def make(self, space: Space) -> Categorical:
        return self.member(space)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Foreign, "test_draws_are_members"),
        (Global, "test_only_the_generator_decides"),
        (Counting, "test_drawing_changes_nothing"),
        (Flat, "test_draws_are_as_frequent_as_probable"),
        (Everything, "test_probabilities_of_all_archs_sum_to_one"),
        (Bits, "test_mean_entropy_of_rows_is_that_of_the_policy"),
        (Cut, "test_gradients_are_those_of_differences"),
        (First, "test_descent_makes_an_arch_likelier"),
        (Forgetful, "test_state_comes_back"),
        (Trusting, "test_state_of_another_space_is_refused"),
    ],
)
def test_a_broken_policy_is_noticed(fails: Callable[..., bool], broken: type[Categorical], test: str) -> None:
    """By the test that states what it breaks; the sound one passes it."""
    contract = Contract()
    assert not fails(contract, test)
    contract.member = broken
    assert fails(contract, test)
