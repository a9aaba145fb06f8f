"""Zero-cost scores against hand calculations and slower, plainer forms."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.evaluators.zero_cost import measures
from archwright.evaluators.zero_cost.initial import he_normal, positive, standard_normal, without_norms

Batch = tuple[Tensor, Tensor]


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    stages = [
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    ]
    return nn.Sequential(*stages)


@pytest.fixture
def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(10, 3, 8, 8, generator=generator), torch.randint(4, (10,), generator=generator)) for _ in range(2)
    ]


def plain_gradients(network: nn.Module, batch: Batch) -> list[Tensor]:
    """Of convolutions and the linear layer, by `backward`."""
    network.zero_grad()
    F.cross_entropy(network.train()(batch[0]), batch[1]).backward()
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return [layer.weight.grad.clone() for layer in layers]  # type: ignore[union-attr]


def test_snip_and_the_norm_of_gradients(network: nn.Sequential, batches: Sequence[Batch]) -> None:
    """Of the first batch alone."""
    expected = plain_gradients(copy.deepcopy(network), batches[0])
    weights = [m.weight.detach() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    found = measures.gradients(network, batches)
    assert measures.snip(found) == pytest.approx(
        float(sum((w * g).abs().sum() for w, g in zip(weights, expected, strict=True))), rel=1e-5
    )
    assert measures.gradient_norm(found) == pytest.approx(float(sum(g.norm() for g in expected)), rel=1e-5)


def test_zico_by_hand() -> None:
    """Layer one: gradients (1, 3) and (3, 3): mean sizes 2 and 3, deviations 1 and 0: the second is left out, log 2.

    Layer two: -1 and 3: mean size 2, deviation 2: log 1. A layer whose gradients do not vary adds nothing.
    """
    layers = [
        [torch.tensor([1.0, 3.0]), torch.tensor([-1.0]), torch.tensor([5.0])],
        [torch.tensor([3.0, 3.0]), torch.tensor([3.0]), torch.tensor([5.0])],
    ]
    found = measures.Gradients(layers[0], layers)
    assert measures.zico(found) == pytest.approx(math.log(2.0) + math.log(1.0))


def test_grasp_by_finite_differences(network: nn.Sequential, batches: Sequence[Batch]) -> None:
    """H g is the change of the gradient along itself, here of a network in double precision."""
    network = network.double()
    batch = batches[0][0].double(), batches[0][1]
    weights = [m.weight.detach() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    gradient = plain_gradients(network, batch)
    step = 1e-6
    ends = []
    for sign in (1, -1):
        moved = copy.deepcopy(network)
        layers = [m.weight for m in moved.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        with torch.no_grad():
            for weight, change in zip(layers, gradient, strict=True):
                weight += sign * step * change
        ends.append(plain_gradients(moved, batch))
    # the gradient of |g|^2 with g held fixed on one side is H g
    products = [(after - before) / (2 * step) for after, before in zip(*ends, strict=True)]
    expected = -float(sum((w * p).sum() for w, p in zip(weights, products, strict=True)))
    assert measures.grasp(network, batch) == pytest.approx(expected, rel=1e-5)


def test_synflow_of_two_layers_by_hand() -> None:
    """Layers |a| and |b| without norms: every weight's product with its gradient sums to the output, once a layer."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 1, bias=False)
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([-2.0, 3.0]).reshape(2, 1, 1, 1))
        network[3].weight.copy_(torch.tensor([[5.0, -7.0]]))
    found = measures.synflow(network, torch.ones(1, 1, 1, 1, dtype=torch.float64))
    assert found == pytest.approx(math.log(2 * (2 * 5 + 3 * 7)))
    assert network[0].weight.flatten().tolist() == [-2.0, 3.0]  # as before
    assert network[0].weight.dtype == torch.float32


def test_synflow_of_what_reads_nothing_is_the_least() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x) * 0).flatten(1)

    assert measures.synflow(Deaf(), torch.ones(1, 1, 2, 2, dtype=torch.float64)) == -math.inf


def test_naswot_by_pairs_of_images(network: nn.Sequential) -> None:
    """Units that are on for both, and those that are off for both, over all rectifiers."""
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    network.train()
    signs = []
    with torch.no_grad():
        y = x
        for stage in list(network)[:3]:
            given = stage[1](stage[0](y))
            signs.append((given.flatten(1) > 0).numpy())
            y = stage[2](given)
    on = np.concatenate(signs, axis=1)
    kernel = np.array([[float((a == b).sum()) for b in on] for a in on])
    assert measures.naswot(network, x) == pytest.approx(np.linalg.slogdet(kernel)[1])


def test_zen_by_hand(network: nn.Sequential) -> None:
    """The mean distance of the last maps; the scales are the batch norms' running ones after both passes."""
    generator = torch.Generator().manual_seed(3)
    standard_normal(network, generator)
    one, other = torch.randn(2, 5, 3, 8, 8, generator=generator)
    plain = copy.deepcopy(network).train()
    body = plain[:3]
    with torch.no_grad():
        distance = (body(one) - body(one + 0.01 * other)).abs().flatten(1).sum(dim=1).mean()
    scales = [m.running_var.mean().sqrt().log() for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]  # type: ignore[union-attr]
    assert measures.zen(network, one, other) == pytest.approx(float(distance.log() + sum(scales)), rel=1e-5)


def test_last_map_is_found_inside_a_head() -> None:
    """A head that normalises before it pools."""
    head = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), head).eval()
    x = torch.randn(2, 3, 6, 6)
    expected = head[1](head[0](network[0](x)))
    assert torch.equal(measures.last_map(network, x), expected)


# ── AZ-NAS ────────────────────────────────────────────────────────────────────────────────────────


def test_entropy_is_that_of_equal_shares() -> None:
    """Independent channels of equal variance: log of their number; copies of one: 0."""
    x = torch.randn(64, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert measures._entropy(x) == pytest.approx(math.log(4), abs=1e-3)
    assert measures._entropy(x[:, :1].expand(-1, 4, -1, -1)) == pytest.approx(0, abs=1e-4)


def test_figures_of_az_nas_in_a_plain_form(network: nn.Sequential) -> None:
    """Expressivity and progressivity from the maps; trainability from Jacobians' products with the same signs."""
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = measures.az_nas(copy.deepcopy(network), x, torch.Generator().manual_seed(2))
    network.train()
    maps, given = [], x
    for stage in list(network)[:3]:
        given = stage(given.detach().requires_grad_())
        maps.append(given)
    entropies = []
    for one in maps:
        rows = one.detach().permute(0, 2, 3, 1).flatten(0, 2).numpy().astype(np.float64)
        values = np.clip(np.linalg.eigvalsh(np.cov(rows.T, bias=True)), 1e-12, None)
        shares = values / values.sum()
        entropies.append(float(-(shares * np.log(shares + 1e-8)).sum()))
    assert found["expressivity"] == pytest.approx(sum(entropies), rel=1e-4)
    assert found["progressivity"] == pytest.approx(min(np.diff(entropies)), rel=1e-3)
    assert math.isfinite(found["trainability"])
    assert found["trainability"] <= 0  # 2 - s - 1/s is 0 at s = 1 and below elsewhere


def test_a_stage_that_does_nothing_cannot_be_trained() -> None:
    """An identity, and a stage whose output does not depend on its input."""

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    for stage in (nn.Identity(), Constant()):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), stage, nn.Flatten())
        found = measures.az_nas(network, torch.randn(2, 3, 6, 6), torch.Generator())
        assert found["trainability"] == -math.inf


def test_ranks_are_added_as_logarithms() -> None:
    """Ranks (3, 2, 1) and (1, 3, 3) of 3: log 1 + log 1/3, log 2/3 + log 1, log 1/3 + log 1; NaN is the worst."""
    one, other = np.array([9.0, 5.0, 1.0]), np.array([-1.0, 4.0, 4.0])
    expected = [math.log(1 / 3), math.log(2 / 3), math.log(1 / 3)]
    assert measures.rank_aggregated([one, other]) == pytest.approx(expected)
    assert measures.rank_aggregated([np.array([np.nan, 1.0])]) == pytest.approx([math.log(1 / 2), 0])


# ── how networks begin ────────────────────────────────────────────────────────────────────────────


def test_initial_weights(network: nn.Sequential) -> None:
    """He's variance 2 / inputs; a standard normal distribution; the same seed, the same weights."""
    wide = nn.Sequential(nn.Conv2d(32, 256, 3), nn.BatchNorm2d(256))
    wide[1].weight.data.fill_(3)
    he_normal(wide, torch.Generator().manual_seed(0))
    assert float(wide[0].weight.detach().std()) == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.01)
    assert wide[1].weight.unique().tolist() == [1.0]
    standard_normal(wide, torch.Generator().manual_seed(0))
    assert float(wide[0].weight.detach().std()) == pytest.approx(1, rel=0.01)
    before = wide[0].weight.clone()
    standard_normal(wide, torch.Generator().manual_seed(0))
    assert torch.equal(wide[0].weight, before)


def test_norms_and_signs_come_back(network: nn.Sequential) -> None:
    """Within the contexts: no norm, no negative weight; afterwards all as before."""
    x, before = torch.randn(2, 3, 8, 8), copy.deepcopy(network.state_dict())
    network.eval()
    with positive(network), without_norms(network):
        assert all((parameter >= 0).all() for parameter in network.parameters())
        assert torch.equal(network[0](x), torch.relu(network[0][0](x)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not torch.equal(network[0](x), torch.relu(network[0][0](x)))
