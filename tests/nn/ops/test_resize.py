"""Images brought to another size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.core.errors import UsageError
from archwright.nn import Supernet, selection_of
from archwright.nn.ops.resize import Resize2d


def test_half_the_size_keeps_the_mean() -> None:
    """Antialiased: every pixel counts, as it does not where one is picked of four."""
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    out = Resize2d(8, 8)(x)
    assert out.shape == (1, 1, 8, 8)
    assert abs(float(out[0, 0, 2:6, 2:6].mean() - x[0, 0, 4:12, 4:12].mean())) < 0.2
    constant = torch.full((1, 1, 16, 16), 3.0)
    assert torch.allclose(Resize2d(5, 7)(constant), torch.full((1, 1, 5, 7), 3.0))


def test_the_same_size_is_untouched() -> None:
    """The very tensor."""
    x = torch.randn(1, 3, 8, 6)
    assert Resize2d(8, 6)(x) is x


def test_the_size_may_be_a_decision() -> None:
    """It follows the selection."""
    choose = Supernet()
    side = choose.number("resolution", (4, 6))
    network = nn.Sequential(Resize2d(side, side * 2))
    selection_of(network).activate({"resolution": 6})
    assert network(torch.randn(1, 3, 8, 8)).shape == (1, 3, 6, 12)
    with pytest.raises(UsageError):
        selection_of(network).activate({"resolution": 5})
