"""The likeliest arch within limits: exact on small spaces, near it on large ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from archwright.core.decisions import Rows
from archwright.costs.counted import Macs
from archwright.policies import Categorical
from archwright.policies.likeliest import likeliest
from archwright.spaces import Darts, FBNet
from archwright.testing import EdgesSpace


def test_without_limits_it_is_the_best_row() -> None:
    policy = Categorical(Darts(), spread=1.0)
    found = likeliest(policy, lambda rows: np.ones(len(rows), bool))
    assert found is not None
    assert (found == policy.best_row()).all()


def test_small_spaces_are_gone_through() -> None:
    """Against the enumeration, under a condition that excludes the best."""
    space = EdgesSpace()
    rows = space.decisions.enumerate_rows()
    for seed in range(10):
        policy = Categorical(space, spread=2.0, seed=seed)
        best = policy.best_row()

        def keeps(rows: Rows, best: Rows = best) -> NDArray[np.bool_]:
            different: NDArray[np.bool_] = (rows != best).sum(axis=1) > 1
            return different

        kept = rows[keeps(rows)]
        found = likeliest(policy, keeps)
        assert found is not None
        assert (found == kept[int(policy.log_prob(kept).argmax())]).all()


def test_nothing_feasible() -> None:
    assert likeliest(Categorical(EdgesSpace()), lambda rows: np.zeros(len(rows), bool)) is None
    assert likeliest(Categorical(FBNet()), lambda rows: np.zeros(len(rows), bool)) is None


def test_a_knapsack_of_22_layers() -> None:
    """FBNet under a tight limit: as likely as what dynamic programming over rounded costs finds, or nearly."""
    space = FBNet(input_shape=(3, 32, 32), n_classes=10)
    policy = Categorical(space, spread=1.0)
    rows = space.decisions.sample(500, np.random.default_rng(0))
    limit = float(np.quantile(Macs().cost_rows(space, rows), 0.1))

    def keeps(rows: Rows) -> NDArray[np.bool_]:
        within: NDArray[np.bool_] = Macs().cost_rows(space, rows) <= limit
        return within

    found = likeliest(policy, keeps)
    assert found is not None
    assert keeps(found[None])[0]
    assert policy.log_prob(found[None]).item() >= _knapsack(space, policy, limit) - 0.05


def _knapsack(space: FBNet, policy: Categorical, limit: float) -> float:
    """The best log-probability by dynamic programming over costs in 4,000 steps, each rounded up."""
    n = 22
    base = np.zeros(n, dtype=np.int16)
    first = float(Macs().cost_rows(space, base[None])[0])
    costs = np.zeros((n, 9))
    for layer in range(n):
        rows = np.repeat(base[None], 9, axis=0)
        rows[:, layer] = np.arange(9)
        costs[layer] = Macs().cost_rows(space, rows) - first
    least = costs.min(axis=1)
    steps = np.ceil((costs - least[:, None]) / (limit / 4_000)).astype(int)
    room = int((limit - first - least.sum()) // (limit / 4_000))
    logs = torch.stack([each.log_softmax(0) for each in policy.alphas().values()]).detach().numpy()
    best = np.full(room + 1, -np.inf)
    best[0] = 0.0
    for layer in range(n):
        after = np.full(room + 1, -np.inf)
        for step, log in zip(steps[layer], logs[layer], strict=True):
            if step <= room:
                after[step:] = np.maximum(after[step:], best[: room + 1 - step] + log)
        best = after
    return float(best.max())
