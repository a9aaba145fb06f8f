"""Pooling against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d

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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("side", [3, 5])
def test_local_mean_equals_average_pooling(layout: torch.memory_format, side: int) -> None:
    """Stride 1, padding not counted: values and gradients, in float64."""
    x, y = _images(layout), _images(layout)
    found = LocalAvgPool2d(side)(x)
    expected = nn.AvgPool2d(side, 1, side // 2, count_include_pad=False)(y)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    torch.autograd.backward([found.square().sum(), expected.square().sum()])
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-14, atol=1e-14)
    assert torch.autograd.gradcheck(LocalAvgPool2d(side), (_images(layout),))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_local_mean_keeps_the_layout(layout: torch.memory_format) -> None:
    """Forward and backward."""
    x = _images(layout)
    found = LocalAvgPool2d(3)(x)
    torch.autograd.backward(found.square().sum())
    assert x.grad is not None
    assert found.is_contiguous(memory_format=layout)
    assert x.grad.is_contiguous(memory_format=layout)


def test_local_mean_in_inference_mode_spoils_no_later_gradient() -> None:
    """What is kept between calls was first made where no gradients are recorded."""
    x = _images(torch.channels_last)
    with torch.inference_mode():
        LocalAvgPool2d(7)(x.detach())
    torch.autograd.backward(LocalAvgPool2d(7)(x).sum())
    assert x.grad is not None
