"""Residual blocks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.nn.ops.edges import Zero
from archwright.nn.ops.residual import DownsamplingBlock, Residual


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (8, 5), (1, 2)])
def test_downsampling_rounds_sides_up(height: int, width: int) -> None:
    """In both branches."""
    out = DownsamplingBlock(3, 6)(torch.randn(2, 3, height, width))
    assert out.shape == (2, 6, -(-height // 2), -(-width // 2))


def test_downsampling_is_two_branches() -> None:
    """Written out with functions; even sides average over 2 x 2 pixels."""
    torch.manual_seed(0)
    block = DownsamplingBlock(3, 4).eval()
    convs = [part for part in block.main.modules() if isinstance(part, nn.Conv2d)]
    x = torch.randn(2, 3, 6, 6)
    inner = F.conv2d(x.relu(), convs[0].weight, stride=2, padding=1) / (1 + 1e-5) ** 0.5
    inner = F.conv2d(inner.relu(), convs[1].weight, padding=1) / (1 + 1e-5) ** 0.5
    pooled = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    shortcut = F.conv2d(pooled, block.shortcut[1].weight)  # type: ignore[arg-type]
    assert torch.allclose(block(x), inner + shortcut, atol=1e-5)


def test_downsampling_averages_only_what_is_there() -> None:
    """At an odd edge the window holds fewer pixels."""
    pool = DownsamplingBlock(1, 1).shortcut[0]
    assert pool(torch.tensor([[[[1.0, 3.0, 5.0]]]])).tolist() == [[[[2.0, 5.0]]]]


@pytest.mark.parametrize(
    ("shortcut", "sizes", "factor"),
    [
        (nn.Identity(), None, 2),
        (nn.Identity(), (3, 4), 1),
        (nn.Identity(), (3, 3), 2),
        (Zero(), None, 1),
        (None, None, 1),
    ],
)
def test_a_shortcut_is_added_where_there_is_one(
    shortcut: nn.Module | None, sizes: tuple[int, int] | None, factor: int
) -> None:
    """Not where channels differ, nor a shortcut of zeros."""
    x = torch.randn(2, 3, 4, 4)
    block = Residual(nn.Identity(), shortcut, sizes=sizes)
    assert torch.allclose(block(x), factor * x)
    assert block.is_joined is (factor == 2)
