"""Initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.initial import draw_fan_out, set_norms


def test_fan_out_is_that_of_a_group() -> None:
    """N(0, 2 / (k k filters / groups)): a depth-wise 5x5 has fan-out 25, a 1x1 with 64 filters 64."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(400, 400, 5, groups=400), nn.Conv2d(400, 64, 1))
    draw_fan_out(network)
    for conv, fan_out in zip(network, (25, 64), strict=True):
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
        assert not conv.bias.any()


def test_norms_are_set_everywhere() -> None:
    """Nested ones too."""
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(3)))
    set_norms(network, eps=1e-3, momentum=0.01)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.01)] * 2
