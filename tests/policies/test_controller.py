"""The LSTM controller: its contract, and its arithmetic beside one written out for a single arch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, UsageError
from archwright.policies import Controller
from archwright.spaces import Space
from archwright.testing import BranchSpace, LearnedPolicyContract, MBConvSpace


class TestController(LearnedPolicyContract):
    def make(self, space: Space) -> Controller:
        return Controller(space, hidden=8, layers=2, tanh_constant=2.5, temperature=2.0)


def _by_hand(policy: Controller, row: list[int]) -> Tensor:
    """The log-probability of one row: an LSTM that sees active decisions only."""
    cell = policy.cells[0]
    assert isinstance(cell, nn.LSTMCell)
    first = [0, *np.cumsum(policy.decisions.n_values).tolist()]
    state, x, total = None, policy.embedding.weight[first[-1]], torch.zeros((), dtype=torch.float64)
    for i, value in enumerate(row):
        if value >= 0:
            state = cell(x[None], state)
            logits = policy.heads(state[0])[0, first[i] : first[i + 1]]
            total = total + logits.log_softmax(0)[value]
            x = policy.embedding.weight[first[i] + value]
    return total


def test_log_probability_is_that_of_an_lstm_over_active_decisions() -> None:
    """Inactive ones are passed over: neither state nor input change."""
    policy = Controller(MBConvSpace(), hidden=6, spread=0.8).double()
    rows = policy.decisions.sample(10, np.random.default_rng(0))
    assert (rows < 0).any()
    expected = torch.stack([_by_hand(policy, row) for row in rows.tolist()])
    assert torch.allclose(policy.log_prob(rows), expected, rtol=1e-10)


def test_a_decision_depends_on_those_before() -> None:
    """The chance of the last operation is another one behind another input."""
    policy = Controller(BranchSpace(), hidden=6, spread=1.0).double()
    rows = policy.decisions.enumerate_rows()
    log_p = policy.log_prob(rows).detach()
    chance = {}
    for source in (0, 1):
        among = rows[:, 0] == source
        share = log_p[among].exp()
        chance[source] = float(share[torch.from_numpy(rows[among][:, 2] == 0)].sum() / share.sum())
    assert abs(chance[0] - chance[1]) > 1e-3


def test_a_drawn_batch_comes_with_its_scores() -> None:
    """Rows, log-probabilities and entropies, as asked for one by one."""
    policy = Controller(BranchSpace(), hidden=6)
    rows, log_prob, entropy = policy.draw_scored(7, np.random.default_rng(0))
    assert (rows == policy.draw(7, np.random.default_rng(0))).all()
    assert torch.equal(log_prob, policy.log_prob(rows))
    assert torch.equal(entropy, policy.entropy(rows))


def test_best_row_is_decoded_greedily() -> None:
    """Decision by decision the likeliest value given those before, found by enumeration."""
    policy = Controller(BranchSpace(), hidden=6, spread=1.0).double()
    rows = policy.decisions.enumerate_rows()
    chances = policy.log_prob(rows).detach().exp().numpy()
    kept = np.ones(len(rows), dtype=bool)
    for i in range(rows.shape[1]):
        shares = [chances[kept & (rows[:, i] == v)].sum() for v in range(policy.decisions.n_values[i])]
        kept &= rows[:, i] == int(np.argmax(shares))
    assert (policy.best_row() == rows[kept][0]).all()


def test_temperature_and_tanh_flatten() -> None:
    """Both bound the logits: with a tiny tanh constant every value is as likely as the others."""
    policy = Controller(BranchSpace(), hidden=6, spread=3.0, tanh_constant=1e-6, temperature=5.0)
    rows = policy.decisions.enumerate_rows()
    assert policy.log_prob(rows).detach().exp().numpy() == pytest.approx(1 / 12, abs=1e-5)


def test_it_has_no_independent_probabilities() -> None:
    """Nor a mixture; one line says so."""
    policy = Controller(BranchSpace(), hidden=4)
    with pytest.raises(UsageError, match=r"draws decisions in dependence of each other; it has no probabilities"):
        policy.probabilities()
    with pytest.raises(UsageError, match="Controller has no mixture of archs"):
        policy.mixture(np.random.default_rng(0))


def test_negative_spread_is_refused() -> None:
    """In one line, not by torch."""
    with pytest.raises(InvalidValueError, match="spread is -1; give 0 or more"):
        Controller(BranchSpace(), spread=-1)
