"""Squeeze-and-excitation."""

from __future__ import annotations

import pytest
import torch

from archwright.nn.ops.squeeze import SqueezeExcite


def test_same_as_torchvision() -> None:
    """Equal weights, equal result."""
    torchvision = pytest.importorskip("torchvision.ops")
    torch.manual_seed(0)
    ours, theirs = SqueezeExcite(8, 2), torchvision.SqueezeExcitation(8, 2)
    theirs.fc1.load_state_dict(ours.reduce.state_dict())
    theirs.fc2.load_state_dict(ours.restore.state_dict())
    x = torch.randn(2, 8, 5, 5)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
