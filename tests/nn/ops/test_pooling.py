"""Pooling against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.ops.pooling import GlobalAvgPool2d

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def _images(layout: torch.memory_format) -> torch.Tensor:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_adaptive_average_pooling(layout: torch.memory_format) -> None:
    """Values and gradients, in float64."""
    x, y = _images(layout), _images(layout)
    found, expected = GlobalAvgPool2d()(x), nn.AdaptiveAvgPool2d(1)(y).flatten(1)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    torch.autograd.backward([found.square().sum(), expected.square().sum()])
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-14, atol=1e-14)
    assert torch.autograd.gradcheck(GlobalAvgPool2d(), (_images(layout),))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_has_the_layout_of_the_images(layout: torch.memory_format) -> None:
    """What stands before it meets one layout only."""
    x = _images(layout)
    torch.autograd.backward(GlobalAvgPool2d()(x).sum())
    assert x.grad is not None
    assert x.grad.is_contiguous(memory_format=layout)
