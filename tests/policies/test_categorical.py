"""Independent distributions: their contract, exact entropy, mixtures, gates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from archwright.core.errors import InvalidValueError
from archwright.costs.counted import Macs
from archwright.nn.choice import selection_of
from archwright.policies import Categorical
from archwright.spaces import Space
from archwright.testing import BranchSpace, LearnedPolicyContract, MBConvSpace
from archwright.training.networks import build_seeded


class TestCategorical(LearnedPolicyContract):
    def make(self, space: Space) -> Categorical:
        return Categorical(space)


def _random(space: Space, seed: int = 0) -> Categorical:
    return Categorical(space, spread=1.0, seed=seed).double()


def test_it_begins_uniform_by_decision() -> None:
    """A member of depth 1 has the probability 1/2 (width) 1/3 (depth) 1/3 (kernel) 1/2 (expansion)."""
    policy = Categorical(MBConvSpace())
    row = policy.decisions.row({"width": 8, "depth": 1, "block0.kernel": 5, "block0.expand": 4})
    assert policy.log_prob(row[None]).exp().item() == pytest.approx(1 / 36)


def test_exact_entropy_is_that_of_the_enumeration() -> None:
    """−Σ p log p over all 516 archs, and its gradient by α."""
    policy = _random(MBConvSpace())
    log_p = policy.log_prob(policy.decisions.enumerate_rows())
    by_hand = -(log_p.exp() * log_p).sum()
    assert policy.total_entropy().item() == pytest.approx(by_hand.item(), rel=1e-12)
    found, expected = (torch.autograd.grad(h, policy.alpha)[0] for h in (policy.total_entropy(), by_hand))
    assert torch.allclose(found, expected, rtol=1e-9)


def test_expected_cost_is_the_mean_over_all_archs() -> None:
    """What `Cost.expected` makes of the probabilities."""
    space = MBConvSpace()
    policy, rows = _random(space), space.decisions.enumerate_rows()
    mean = (policy.log_prob(rows).exp() * torch.from_numpy(Macs().cost_rows(space, rows))).sum()
    assert Macs().expected(space, policy.probabilities()).item() == pytest.approx(mean.item(), rel=1e-9)


def test_best_row_has_the_largest_alpha() -> None:
    """Of each active decision; the blocks behind the depth have none."""
    policy = Categorical(MBConvSpace())
    with torch.no_grad():
        policy.alpha[:2] = torch.tensor([0.0, 1.0])
        policy.alpha[2:5] = torch.tensor([1.0, 0.0, 0.0])
    found = policy.decisions.arch(policy.best_row())
    assert (policy.decisions.names[:2], found["width"], found["depth"]) == (("width", "depth"), 16, 1)
    assert "block1.kernel" not in found


def test_a_mixture_is_the_mean_over_values() -> None:
    """With one op relaxed: the supernet's output is that of the two paths, weighted."""
    space = BranchSpace()
    policy, supernet = Categorical(space, spread=1.0), build_seeded(space, None, 0).eval()
    chances = policy.mixture(np.random.default_rng(0))["last"]
    assert sum(p.item() for _, p in chances) == pytest.approx(1.0)
    x, outputs = torch.randn(3, *space.input_shape), []
    selection_of(supernet).relax({"last": chances}, {"node.op": "conv", "node.input": (0,)})
    mixed = supernet(x)
    for last in ("half", "relu"):
        selection_of(supernet).activate({"node.op": "conv", "node.input": (0,), "last": last})
        outputs.append(supernet(x))
    logits = sum(p * output for (_, p), output in zip(chances, outputs, strict=True))
    assert torch.allclose(mixed, logits, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2])
def test_gates_are_one_and_zero_and_pass_gradients_on(n: int) -> None:
    """Forward the sampled path alone; ∂L/∂α_i = Σ_j ∂L/∂g_j p_j (δ_ij − p_i), p among the sampled (ProxylessNAS)."""
    policy = _random(BranchSpace())
    gates = policy.gates(np.random.default_rng(1), n=n)
    slopes = dict(zip(("node.input", "node.op", "last"), (2.0, -1.0, 0.5), strict=True))
    weights = {name: [w.item() for _, w in gates[name]] for name in gates}
    assert all(sorted(found) == [0.0] * (len(found) - 1) + [1.0] for found in weights.values())
    # a made-up loss with ∂L/∂g_j = slope * (j + 1)
    loss = sum(slopes[name] * (j + 1) * gate for name in gates for j, gate in gates[name])
    loss.backward()  # type: ignore[union-attr]
    assert policy.alpha.grad is not None
    grads = dict(zip(policy.decisions.names, policy.alpha.grad.split(policy.decisions.n_values.tolist()), strict=True))
    for name, p in policy.probabilities().items():
        run = [j for j, _ in gates[name]]
        p = p.detach() if n == 1 else torch.where(torch.isin(torch.arange(len(p)), torch.tensor(run)), p.detach(), 0.0)
        p = p / p.sum()
        for i in range(len(p)):
            expected = sum(slopes[name] * (j + 1) * p[j] * (float(i == j) - p[i]) for j in run)
            assert grads[name][i].item() == pytest.approx(float(expected), abs=1e-12)


def test_a_gate_opens_as_often_as_its_value_is_probable() -> None:
    """With one gate a decision; with two, the likelier of a pair opens more often: chi-square over 1,000 draws."""
    policy = Categorical(BranchSpace())
    with torch.no_grad():
        policy.alpha[:3] = torch.tensor([0.0, 1.0, -1.0])
    rng = np.random.default_rng(0)
    p = policy.probabilities()["node.input"].detach().double().numpy()
    for n in (1, 2):
        opened = [next(j for j, w in policy.gates(rng, n=n)["node.input"] if w.item() == 1.0) for _ in range(1_000)]
        expected = p
        if n == 2:  # two without replacement, then one of them by its share
            pairs = {
                (i, j): p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]) for i in range(3) for j in range(i + 1, 3)
            }
            expected = np.zeros(3)
            for (i, j), chance in pairs.items():
                expected[i] += chance * p[i] / (p[i] + p[j])
                expected[j] += chance * p[j] / (p[i] + p[j])
        assert chisquare(np.bincount(opened, minlength=3), expected / expected.sum() * 1_000).pvalue > 0.001


def test_a_supernet_with_gates_runs_the_single_path() -> None:
    """The output of two gates a decision is that of the path with weight 1."""
    space = BranchSpace()
    supernet, x = build_seeded(space, None, 0).eval(), torch.randn(2, *space.input_shape)
    gates = Categorical(space).gates(np.random.default_rng(0))
    selection_of(supernet).relax(gates)
    gated = supernet(x)
    index = [next(j for j, w in gates[name] if w.item() == 1.0) for name in space.decisions.names]
    selection_of(supernet).activate_row(np.array(index))
    assert torch.allclose(gated, supernet(x), atol=1e-6)


def test_numbers_of_gates() -> None:
    """One or two; a spread is not negative."""
    with pytest.raises(
        InvalidValueError, match="gates are asked for 3 values of a decision; give 1, 2, or None for all"
    ):
        Categorical(BranchSpace()).gates(np.random.default_rng(0), n=3)
    with pytest.raises(InvalidValueError, match="spread is nan; give 0 or more"):
        Categorical(BranchSpace(), spread=math.nan)
