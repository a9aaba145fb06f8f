"""SNAS's figures of operations, and their sums over the search network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.policies import Categorical
from archwright.spaces import Darts, Snas
from archwright.spaces.darts.genotypes import PRIMITIVES
from archwright.spaces.darts.op_costs import SCALES, OpCost, op_cost, resource_measure


@pytest.mark.parametrize(
    ("op", "width", "side", "stride", "expected"),
    [
        ("sep_conv_3x3", 16, 32, 1, OpCost(800, 819_200, 131_872)),
        ("sep_conv_5x5", 16, 32, 1, OpCost(1312, 1_343_488, 132_384)),
        ("dil_conv_3x3", 16, 32, 1, OpCost(400, 409_600, 65_936)),
        ("dil_conv_5x5", 16, 32, 1, OpCost(656, 671_744, 66_192)),
        ("max_pool_3x3", 16, 32, 1, OpCost(0, 147_456, 32_768)),
        ("skip_connect", 16, 32, 1, OpCost(0, 0, 32_768)),
        ("sep_conv_3x3", 32, 16, 2, OpCost(2624, 671_744, 92_736)),
        ("skip_connect", 32, 16, 2, OpCost(1024, 262_144, 74_752)),
        ("none", 32, 16, 2, OpCost(0, 0, 0)),
    ],
)
def test_figures_of_the_sheet(op: str, width: int, side: int, stride: int, expected: OpCost) -> None:
    """snas.md, section 3."""
    assert op_cost(op, width, side, stride) == expected


SPACE = Snas(input_shape=(3, 16, 16), channels=8, cells=6)


def one_hot(row: Any) -> dict[str, torch.Tensor]:
    return {
        name: torch.nn.functional.one_hot(torch.tensor(int(value)), 8).double()
        for name, value in zip(SPACE.decisions.names, row, strict=True)
    }


def by_hand(row: Any) -> np.ndarray[Any, Any]:
    """(cells, edges, 3) of an arch, from the definitions: six cells, the third and fifth of which halve the image."""
    widths, sides = [8, 8, 16, 16, 32, 32], [16, 16, 8, 8, 4, 4]
    found = []
    for i, (width, side) in enumerate(zip(widths, sides, strict=True)):
        kind, edges = "reduce" if i in (2, 4) else "normal", []
        for node in range(2, 6):
            for source in range(node):
                op = PRIMITIVES[row[SPACE.decisions.position(f"{kind}.edge{source}{node}")]]
                cost = op_cost(op, width, side, 2 if kind == "reduce" and source < 2 else 1)
                edges.append([cost.params, cost.flops, cost.memory])
        found.append(edges)
    return np.array(found, dtype=float)


def test_an_arch_costs_what_its_operations_do() -> None:
    """snas.md, fact 3: with one operation an edge, raw and by logarithms."""
    for row in SPACE.decisions.sample(3, np.random.default_rng(0)):
        figures, given = by_hand(row), one_hot(row)
        for i, resource in enumerate(("params", "flops", "memory")):
            raw = resource_measure(SPACE, resource, is_log=False)(given).item()  # type: ignore[arg-type]
            assert raw == pytest.approx(figures[..., i].sum() * SCALES[i])
        mixed = resource_measure(SPACE, "mixed", is_log=False)(given).item()
        assert mixed == pytest.approx((figures * np.array(SCALES)).sum())
        logs = np.log(np.maximum(figures, 1)).mean(2)
        expected = logs[[0, 1, 3, 5]].sum() / 4 + logs[[2, 4]].sum() / 2
        assert resource_measure(SPACE, "mixed", is_log=True)(given).item() == pytest.approx(expected)


def test_the_gradient_of_the_expected_cost() -> None:
    """snas.md, fact 3: p_k (C_k − Σ p C) for one edge of one cell."""
    policy = Categorical(SPACE, spread=1.0).double()
    found = resource_measure(SPACE, "params", is_log=False)(policy.probabilities())
    (gradient,) = torch.autograd.grad(found, policy.alpha)
    name = "normal.edge02"
    start = 8 * list(policy.alphas()).index(name)
    p = policy.alphas()[name].softmax(0).detach()
    widths = [8, 8, 16, 32]  # of the normal cells, with sides that parameters do not depend on
    costs = torch.tensor([[op_cost(op, w, 4, 1).params for op in PRIMITIVES] for w in widths]).sum(0) * SCALES[0]
    assert torch.allclose(gradient[start : start + 8], p * (costs - (p * costs).sum()))


def test_sums_below_1_count_as_1() -> None:
    """All `none`: logarithms of 1 are 0."""
    assert resource_measure(SPACE, "mixed", is_log=True)(one_hot([0] * 28)).item() == 0.0
    assert math.isfinite(resource_measure(SPACE, "flops", is_log=True)(one_hot([3] * 28)).item())


def test_other_spaces_and_figures() -> None:
    with pytest.raises(InvalidValueError, match="space 'darts' does not choose among none and 7 operations; take snas"):
        resource_measure(Darts(), "params", is_log=True)
    with pytest.raises(UnknownNameError, match="unknown resource 'macs'"):
        resource_measure(SPACE, "macs", is_log=True)  # type: ignore[arg-type]
