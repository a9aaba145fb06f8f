"""Cost in the objective: each form by hand, gradients against enumeration, and the multiplier of a target."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.costs.counted import ActivationPeak, Macs, MemoryAccess, Params
from archwright.policies import Categorical
from archwright.spaces import FBNet
from archwright.testing import BranchSpace, EdgesSpace
from archwright.weight_sharing import Measured, Pressure, PressureConfig, expected_cost

LATENCIES = torch.tensor([10.0, 20.0, 60.0], dtype=torch.float64)


def measured(limit: float | None = None) -> Measured:
    """The expected latency of one decision among three."""
    return Measured("latency", lambda p: (torch.as_tensor(p["op"]) * LATENCIES).sum(), limit)


def pressed(config: PressureConfig, p: Tensor, loss: float = 2.0, limit: float | None = None) -> float:
    return Pressure(config, [measured(limit)])(torch.tensor(loss), {"op": p}).item()


THIRD = torch.tensor([1 / 3, 1 / 3, 1 / 3], dtype=torch.float64)  # E = 30
SECOND = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)  # E = 20


def test_the_forms_by_hand() -> None:
    """Sums and products of a loss of 2 and a latency of 30."""
    assert pressed(PressureConfig(), THIRD) == 2.0
    assert pressed(PressureConfig("added", weight=0.01), THIRD) == pytest.approx(2.3)
    assert pressed(PressureConfig("added", weight=0.5, reference=60), THIRD) == pytest.approx(2.25)
    assert pressed(PressureConfig("log-added", weight=0.1), THIRD) == pytest.approx(2 + 0.1 * math.log(30))
    assert pressed(PressureConfig("relative", weight=0.1, reference=20), THIRD) == pytest.approx(2.05)
    ratio = PressureConfig("log-ratio", weight=0.2, exponent=0.3, reference=20)
    assert pressed(ratio, THIRD) == pytest.approx(2 * 0.2 * (math.log(30) / math.log(20)) ** 0.3)


def test_fbnet_s_product() -> None:
    """fbnet.md, fact 3: CE 2, latency 20, alpha 0.2, beta 0.6; not beta times the logarithm."""
    found = pressed(PressureConfig("log-power", weight=0.2, exponent=0.6), SECOND)
    assert found == pytest.approx(0.772613, abs=1e-5)
    assert found != pytest.approx(2 * 0.2 * 0.6 * math.log(20), abs=0.05)


def test_a_limit_is_the_reference() -> None:
    assert pressed(PressureConfig("relative", weight=0.1), THIRD, limit=20) == pytest.approx(2.05)


@pytest.mark.parametrize("cost", [Params(), Macs()])
@pytest.mark.parametrize("space", [BranchSpace(), EdgesSpace()])
def test_expected_costs_are_exact(space: BranchSpace, cost: Macs) -> None:
    """To 1e-9 against the mean over all archs, and so is the gradient: a penalty that moves α."""
    policy = Categorical(space, spread=1.0).double()
    rows = space.decisions.enumerate_rows()
    by_hand = (policy.log_prob(rows).exp() * torch.from_numpy(cost.cost_rows(space, rows))).sum()
    found = expected_cost(cost, space).measure(policy.probabilities())
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-9)
    one, other = (torch.autograd.grad(value, policy.alpha)[0] for value in (found, by_hand))
    assert torch.allclose(one, other, rtol=1e-9)
    assert bool(one.any())


def test_the_gradient_of_an_expected_latency() -> None:
    """fbnet.md, fact 4: p_k (LAT_k − Σ p LAT)."""
    alpha = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    p = alpha.softmax(0)
    (found,) = torch.autograd.grad(measured().measure({"op": p}), alpha)
    assert torch.allclose(found, (p * (LATENCIES - (p * LATENCIES).sum())).detach())


def test_with_one_arch_the_expected_cost_is_its_own() -> None:
    """A choice is counted, not the supernet (fbnet.md, fact 4; proxylessnas.md, fact 5)."""
    space = FBNet(input_shape=(3, 16, 16), n_classes=3)
    policy, row = Categorical(space), space.decisions.sample(1, np.random.default_rng(0))
    with torch.no_grad():
        for each, value in zip(policy.alphas().values(), row[0].tolist(), strict=True):
            each[value] = 200.0
    found = expected_cost(Macs(), space).measure(policy.probabilities()).item()
    assert found == pytest.approx(float(Macs().cost_rows(space, row)[0]))


# ── targets ───────────────────────────────────────────────────────────────────────────────────────


def descended(limits: list[float], weight: float = 1.0, n: int = 400) -> list[float]:
    """α of three operations under a loss that prefers the dearest, as shares of each limit in the end."""
    alpha = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=0.02)
    pressure = Pressure(PressureConfig("target", weight=weight), [measured(limit) for limit in limits])
    for step in range(n):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / n)
        optimizer.zero_grad()
        p = alpha.softmax(0)
        torch.autograd.backward(pressure((p * torch.tensor([1.0, 0.9, 0.0])).sum(), {"op": p}))
        optimizer.step()
    value = (alpha.softmax(0) * LATENCIES).sum().item()
    return [value / limit for limit in limits]


@pytest.mark.parametrize("limit", [20.0, 30.0, 50.0])
def test_a_target_is_met_without_a_weight(limit: float) -> None:
    """Near 97.5 % of any limit, though the loss alone would take the dearest."""
    (share,) = descended([limit])
    assert 0.93 <= share <= 1.02


def test_of_several_limits_the_tightest_is_met() -> None:
    first, second = descended([45.0, 30.0])
    assert 0.93 <= second <= 1.02
    assert first < 0.7


def test_without_pressure_the_dearest_is_taken() -> None:
    (share,) = descended([30.0], weight=0.0)
    assert share > 1.9


def test_a_pressure_that_grows_lowers_the_cost() -> None:
    """snas.md, fact 5: larger eta, cheaper network."""
    found = []
    for eta in (0.0, 0.02, 0.2):
        alpha = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        pressure = Pressure(PressureConfig("added", weight=eta), [measured()])
        optimizer = torch.optim.Adam([alpha], lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            p = alpha.softmax(0)
            torch.autograd.backward(pressure((p * torch.tensor([1.0, 0.7, 0.0])).sum(), {"op": p}))
            optimizer.step()
        found.append((alpha.softmax(0) * LATENCIES).sum().item())
    assert found[0] > found[1] > found[2]


def test_the_multiplier_comes_back() -> None:
    one = Pressure(PressureConfig("target"), [measured(20.0)])
    one(torch.tensor(1.0), {"op": THIRD})
    other = Pressure(PressureConfig("target"), [measured(20.0)])
    other.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    assert other.multiplier == one.multiplier == pytest.approx(0.1 * (1.5 - 0.975))


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


def test_a_cost_that_is_no_sum() -> None:
    policy = Categorical(EdgesSpace())
    with pytest.raises(InvalidValueError, match="activation_peak_bytes is no sum over the parts of a network"):
        expected_cost(ActivationPeak(), policy.space).measure(policy.probabilities())


def test_a_cost_of_a_space_that_is_no_sum() -> None:
    from archwright.spaces import NasBench201

    policy = Categorical(NasBench201())
    with pytest.raises(InvalidValueError, match="is no sum of terms of few decisions; it has no expected value"):
        expected_cost(MemoryAccess(), policy.space).measure(policy.probabilities())


def test_a_latency_below_1() -> None:
    config = PressureConfig("log-power")
    with pytest.raises(InvalidValueError, match=r"the expected latency is 0.5, and pressure.form log-power takes its"):
        Pressure(config, [Measured("latency", lambda p: torch.tensor(0.5))])(torch.tensor(1.0), {})


def test_a_ratio_without_a_reference() -> None:
    with pytest.raises(InvalidValueError, match=r"pressure.reference is None; pressure.form log-ratio wants"):
        pressed(PressureConfig("log-ratio"), THIRD)


def test_a_target_without_a_limit() -> None:
    with pytest.raises(InvalidValueError, match="a pressure of form target keeps limits, and there is none; give one"):
        Pressure(PressureConfig("target"), [measured()])


def test_a_pressure_without_a_cost() -> None:
    with pytest.raises(InvalidValueError, match="a pressure of form added has no cost; give one"):
        Pressure(PressureConfig("added"))


def test_an_unknown_form() -> None:
    with pytest.raises(UnknownNameError, match="unknown form of a pressure 'aded'"):
        PressureConfig("aded")  # type: ignore[arg-type]
