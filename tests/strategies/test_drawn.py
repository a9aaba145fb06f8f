"""Draws of a policy as a strategy."""

from __future__ import annotations

import numpy as np
import torch

from archwright.core.objective import Goal, Objective
from archwright.policies import Categorical
from archwright.spaces import Space
from archwright.strategies.base import Strategy
from archwright.strategies.drawn import Drawn
from archwright.testing import BranchSpace, StrategyContract


class TestContract(StrategyContract):
    def make(self, space: Space, seed: int) -> Strategy:
        return Drawn(space, Categorical(space), n_trials=12, seed=seed)


def test_likely_archs_come_first_and_uniform_ones_fill() -> None:
    """A policy that always draws one arch gives it once."""
    space = BranchSpace()
    policy = Categorical(space)
    row = space.decisions.enumerate_rows()[3]
    with torch.no_grad():
        first = 0
        for n, value in zip(space.decisions.n_values.tolist(), row.tolist(), strict=True):
            policy.alpha[first + max(value, 0)] = 60.0
            first += n
    strategy = Drawn(space, policy, n_trials=4, seed=0)
    strategy.bind(Objective((Goal("score"),)), lambda rows: np.ones(len(rows), bool))
    asked = strategy.ask(4)
    assert [candidate.origin for candidate in asked] == ["policy", *["random"] * 3]
    assert space.row(asked[0].arch).tolist() == row.tolist()
    assert len({candidate.arch for candidate in asked}) == 4
