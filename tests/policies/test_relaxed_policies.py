"""Other ways to weigh values: contracts, what is sampled, gradients by hand, and what is taken out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.nn.choice import selection_of
from archwright.policies import (
    BinaryGates,
    Categorical,
    DirichletWeights,
    GumbelSoftmax,
    Shrinking,
    SigmoidWeights,
    Temperature,
)
from archwright.spaces import Darts, ProxylessNas, Space
from archwright.testing import BranchSpace, EdgesSpace, LearnedPolicyContract


class TestEdges(LearnedPolicyContract):
    def make(self, space: Space) -> Categorical:
        return Categorical(space)

    def make_space(self) -> Space:
        return EdgesSpace()


class TestEdgeWeights(LearnedPolicyContract):
    def make(self, space: Space) -> Categorical:
        return Categorical(space, edge_weights=isinstance(space, EdgesSpace))

    def make_space(self) -> Space:
        return EdgesSpace()


class TestGumbel(LearnedPolicyContract):
    def make(self, space: Space) -> GumbelSoftmax:
        return GumbelSoftmax(space)


class TestGdas(LearnedPolicyContract):
    def make(self, space: Space) -> GumbelSoftmax:
        return GumbelSoftmax(space, hard=True)


class TestGates(LearnedPolicyContract):
    def make(self, space: Space) -> BinaryGates:
        return BinaryGates(space)


class TestDirichlet(LearnedPolicyContract):
    def make(self, space: Space) -> DirichletWeights:
        return DirichletWeights(space)


class TestSigmoid(LearnedPolicyContract):
    def make(self, space: Space) -> SigmoidWeights:
        return SigmoidWeights(space)


class TestShrinking(LearnedPolicyContract):
    def make(self, space: Space) -> Shrinking:
        return Shrinking(space)


# ── edges with `none` ─────────────────────────────────────────────────────────────────────────────


def test_darts_has_two_matrices_of_14_by_8() -> None:
    """darts.md, fact 1: 224 α, none for the inputs of nodes."""
    policy = Categorical(Darts())
    assert policy.alpha.shape == (2 * 14 * 8,)
    assert {len(each) for each in policy.alphas().values()} == {8}


def test_weights_of_a_mixture_leave_out_none() -> None:
    """Those of the softmax over all eight, without the first; they sum to less than 1."""
    policy = Categorical(Darts(), spread=1.0)
    mixture = policy.mixture(np.random.default_rng(0))
    name, alpha = next(iter(policy.alphas().items()))
    expected = alpha.softmax(0)[1:]
    assert [i for i, _ in mixture[name]] == list(range(7))
    assert torch.allclose(torch.stack([weight for _, weight in mixture[name]]), expected)  # type: ignore[arg-type]
    assert not any(name.startswith("normal.node") for name in mixture)


def test_the_best_row_is_what_darts_derives() -> None:
    """By the rule written out in `derive_darts`, of random α."""
    from archwright.spaces.darts.derivation import derive_darts
    from archwright.spaces.darts.genotypes import genotype_text

    space = Darts()
    for seed in range(20):
        policy = Categorical(space, spread=2.0, seed=seed)
        alphas = policy.alphas()
        order = {
            kind: np.stack(
                [alphas[f"{kind}.edge{j}{i}"].detach().numpy() for i in space.node_numbers for j in range(i)]
            )
            for kind in ("normal", "reduce")
        }
        code = space.code(space.decisions.arch(policy.best_row()))
        assert code == space.code(space.parse(genotype_text(derive_darts(order))))


def test_the_best_row_is_the_likeliest() -> None:
    """Of all archs, by enumeration."""
    space = EdgesSpace()
    for seed in range(20):
        policy = Categorical(space, spread=2.0, seed=seed, edge_weights=bool(seed % 2))
        rows = space.decisions.enumerate_rows()
        assert (rows[int(policy.log_prob(rows).argmax())] == policy.best_row()).all()


def test_edge_weights_multiply_those_of_operations() -> None:
    """PC-DARTS: a softmax over the edges of a node."""
    space = EdgesSpace()
    policy = Categorical(space, spread=1.0, edge_weights=True)
    assert policy.edge_alpha is not None
    weight = policy.edge_alpha[:2].softmax(0)[1] * policy.alphas()["edge12"].softmax(0)[2]
    assert policy.mixture(np.random.default_rng(0))["edge12"][1][1].item() == pytest.approx(weight.item())  # type: ignore[union-attr]


def test_edge_weights_need_edges() -> None:
    with pytest.raises(InvalidValueError, match="has no nodes that sum edges of their own; leave it out"):
        Categorical(BranchSpace(), edge_weights=True)


# ── temperatures and samples ──────────────────────────────────────────────────────────────────────


def test_temperatures_of_the_papers() -> None:
    """snas.md, fact 2; fbnet.md, fact 3: epoch 89 of 90 at 0.0911."""
    snas = Temperature(1.0, 0.03)
    assert [snas.at(epoch / 150) for epoch in (0, 75, 150)] == pytest.approx([1.0, 0.515, 0.03])
    fbnet = Temperature(5.0, 5.0 * math.exp(-0.045 * 90), "exponential")
    assert [fbnet.at(epoch / 90) for epoch in (0, 89)] == pytest.approx([5.0, 0.0911], abs=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf])
def test_a_temperature_of_zero_or_less(value: float) -> None:
    with pytest.raises(InvalidValueError, match=r"temperature\.end is .*; give a number above 0"):
        Temperature(1.0, value)


def test_a_shape_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="unknown shape of a temperature 'cosine'"):
        Temperature(shape="cosine")  # type: ignore[arg-type]


@pytest.mark.parametrize("heat", [1.0, 0.3, 0.03])
def test_samples_are_as_frequent_as_their_weights(heat: float) -> None:
    """snas.md, fact 1: by the largest coordinate of 5,000 samples, at any temperature; it grows as that falls."""
    space = BranchSpace()
    policy = GumbelSoftmax(space, temperature=Temperature(heat, heat), spread=1.0)
    rng, name = np.random.default_rng(0), "node.input"
    with torch.no_grad():
        samples = torch.stack([policy.weights(rng)[name] for _ in range(5_000)])
    frequencies = np.bincount(samples.argmax(1).numpy(), minlength=3) / len(samples)
    assert frequencies == pytest.approx(policy.alphas()[name].softmax(0).detach().numpy(), abs=0.02)
    assert torch.allclose(samples.sum(1), torch.ones(len(samples)), atol=1e-5)
    if heat < 0.1:
        assert float(samples.max(1).values.mean()) > 0.9


def test_a_hard_sample_runs_alone_and_passes_the_soft_gradient_on() -> None:
    """GDAS: weight 1, gradient of the concrete sample."""
    policy = GumbelSoftmax(BranchSpace(), hard=True, spread=1.0, temperature=Temperature(0.7, 0.7))
    mixture = policy.mixture(np.random.default_rng(3))
    assert all([weight.item() for _, weight in weights] == [1.0] for weights in mixture.values())  # type: ignore[union-attr]
    (place, weight) = mixture["node.input"][0]
    (found,) = torch.autograd.grad(weight, [policy.alpha])  # type: ignore[arg-type]
    noise = torch.from_numpy(np.random.default_rng(3).gumbel(size=len(policy.alpha))).float()
    soft = ((policy.alpha + noise)[:3] / 0.7).softmax(0)[place]
    (expected,) = torch.autograd.grad(soft, [policy.alpha])
    assert torch.allclose(found, expected)


def test_credit_of_an_edge() -> None:
    """snas.md, section 1: dL/dα_k = Z_k / λ (g_k − Σ Z_m g_m), with g the gradients of the loss by the weights Z."""
    heat = 0.6
    policy = GumbelSoftmax(EdgesSpace(), spread=1.0, temperature=Temperature(heat, heat)).double()
    supernet = EdgesSpace().supernet().double().eval()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = policy.weights(np.random.default_rng(0))
    for each in weights.values():
        each.retain_grad()
    relaxed = {name: list(enumerate(each[1:])) for name, each in weights.items()}
    selection_of(supernet).relax(relaxed)
    supernet(x).square().sum().backward()
    grads = dict(zip(policy.alphas(), policy.alpha.grad.split([3] * len(policy.alphas())), strict=True))  # type: ignore[union-attr]
    for name, z in weights.items():
        assert z.grad is not None
        expected = z.detach() / heat * (z.grad - (z.detach() * z.grad).sum())
        assert torch.allclose(grads[name], expected, atol=1e-12)


def test_dirichlet_samples_have_the_mean_of_the_policy() -> None:
    policy = DirichletWeights(BranchSpace(), spread=1.0)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        mean = torch.stack([policy.weights(rng)["node.input"] for _ in range(4_000)]).mean(0)
    assert torch.allclose(mean, policy.log_weights()["node.input"].exp(), atol=0.03)


def test_the_divergence_from_the_flat_dirichlet() -> None:
    """0 at α = 0, where the concentrations are 1."""
    flat, tilted = DirichletWeights(BranchSpace()), DirichletWeights(BranchSpace(), spread=1.0)
    assert flat.regularizer().item() == pytest.approx(0.0, abs=1e-6)  # type: ignore[union-attr]
    assert tilted.regularizer().item() > 0  # type: ignore[arg-type]


def test_the_zero_one_loss() -> None:
    """FairDARTS, Eq. 5, by hand for α of 0 and of 2."""
    policy = SigmoidWeights(BranchSpace())
    assert policy.regularizer().item() == 0.0  # type: ignore[arg-type]
    with torch.no_grad():
        policy.alpha.fill_(2.0)
    expected = -10 * (1 / (1 + math.exp(-2)) - 0.5) ** 2
    assert policy.regularizer().item() == pytest.approx(expected)  # type: ignore[arg-type]


# ── gates ─────────────────────────────────────────────────────────────────────────────────────────


def test_unsampled_values_keep_their_probabilities() -> None:
    """proxylessnas.md, fact 3: to 1e-6 after an update with two gates; those of the pair have moved."""
    space = ProxylessNas(input_shape=(3, 16, 16), n_classes=3)
    policy = BinaryGates(space, spread=0.5)
    before = {name: p.detach().clone() for name, p in policy.probabilities().items()}
    mixture = policy.mixture(np.random.default_rng(0))
    loss = sum(float(i + 1) * weight for weights in mixture.values() for i, weight in weights)
    torch.autograd.backward(loss)  # type: ignore[arg-type]
    torch.optim.SGD(policy.parameters(), lr=1.0).step()
    policy.updated()
    moved = 0
    for name, p in policy.probabilities().items():
        drawn = [i for i, _ in mixture[name]]
        rest = [i for i in range(len(p)) if i not in drawn]
        assert torch.allclose(p[rest], before[name][rest], atol=1e-6)
        moved += not torch.allclose(p[drawn], before[name][drawn], atol=1e-4)
    assert moved > 10


def test_a_block_that_is_left_out_does_not_move() -> None:
    """proxylessnas.md, section 2: no gradient where the open gate is `zero`."""
    space = ProxylessNas(input_shape=(3, 16, 16), n_classes=3)
    policy = BinaryGates(space)
    with torch.no_grad():
        for name, part in policy.alphas().items():
            part[space.decisions[name].values.index("zero") if "zero" in space.decisions[name].values else 0] = 9.0
    mixture = policy.mixture(np.random.default_rng(0))
    gone = [name for name, weights in mixture.items() if len(weights) == 1]
    assert len(gone) > 10
    assert all(space.decisions[name].values[mixture[name][0][0]] == "zero" for name in gone)


def test_all_gates_give_the_gradient_of_the_whole_softmax() -> None:
    """∂L/∂α_i = Σ_j ∂L/∂g_j p_j (δ_ij − p_i) over all values (proxylessnas.md, fact 2)."""
    policy = BinaryGates(BranchSpace(), paths=None, spread=1.0).double()
    gates = policy.mixture(np.random.default_rng(0))["node.input"]
    assert sorted(i for i, _ in gates) == [0, 1, 2]
    slopes = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    torch.autograd.backward(sum(slopes[i] * gate for i, gate in gates))  # type: ignore[arg-type]
    p = policy.alphas()["node.input"].softmax(0).detach()
    assert policy.alpha.grad is not None
    assert torch.allclose(policy.alpha.grad[:3], p * (slopes - (p * slopes).sum()))


def test_numbers_of_paths() -> None:
    with pytest.raises(InvalidValueError, match="paths is 3; give 1, 2, or None for all"):
        BinaryGates(BranchSpace(), paths=3)


# ── progressive shrinking ─────────────────────────────────────────────────────────────────────────


def test_the_weakest_values_are_taken_out() -> None:
    """Stages of 3, 2 and 1: in the second the smallest α is out, and its weight is exactly 0."""
    space = EdgesSpace()
    policy = Shrinking(space, stages=(3, 2, 1))
    with torch.no_grad():
        for part in policy.alphas().values():
            part[:] = torch.tensor([0.0, -1.0, 1.0])
    policy.begin_step(0.0)
    assert bool(policy.is_in.all())
    policy.begin_step(0.34)
    assert policy.is_in.view(-1, 3).tolist() == [[True, False, True]] * 5
    assert policy.log_weights()["edge02"].exp().tolist()[1] == 0.0
    assert [i for i, _ in policy.mixture(np.random.default_rng(0))["edge02"]] == [1]
    policy.begin_step(0.99)
    assert policy.is_in.view(-1, 3).tolist() == [[False, False, True]] * 5
    rows = policy.draw(20, np.random.default_rng(0))
    assert all(space.decisions.arch(row)["node2"] in ((0,), (1,)) for row in rows)


def test_a_real_value_always_stays() -> None:
    """However strong `none` is."""
    policy = Shrinking(EdgesSpace(), stages=(1,))
    with torch.no_grad():
        policy.alpha.view(-1, 3)[:, 0] = 9.0
    policy.begin_step(0.0)
    assert not bool(policy.is_in.view(-1, 3)[:, 0].any())


def test_stages_that_grow() -> None:
    with pytest.raises(InvalidValueError, match=r"stages is \(3, 5\); give falling numbers of values from 1 up"):
        Shrinking(EdgesSpace(), stages=(3, 5))
