"""Depth-wise convolution with gradients of its own: torch's outputs to the bit, torch's gradients to rounding."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.nn.depthwise import depthwise, fast_gradients
from archwright.nn.ops.darts import dil_conv, sep_conv


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("sides", [(8, 8), (7, 8), (5, 9)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_torch_s(
    kernel: int, stride: int, dilation: int, sides: tuple[int, int], layout: torch.memory_format
) -> None:
    """Even and odd sides, both layouts, in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, *sides, dtype=torch.float64, generator=generator).contiguous(memory_format=layout)
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64, generator=generator)
    x.requires_grad_()
    weight.requires_grad_()
    found = depthwise(x, weight, stride, dilation)
    expected = F.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, 6)
    assert torch.equal(found, expected)
    slope = torch.randn(found.shape, dtype=torch.float64, generator=generator)
    for one, other in zip(
        torch.autograd.grad(found, (x, weight), slope), torch.autograd.grad(expected, (x, weight), slope), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("needed", ["x", "weight"])
def test_gradients_that_nobody_needs_are_left_out(needed: str) -> None:
    tensors = {"x": torch.randn(1, 3, 6, 6), "weight": torch.randn(3, 1, 3, 3)}
    tensors[needed].requires_grad_()
    depthwise(tensors["x"], tensors["weight"], 1, 2).sum().backward()
    assert [name for name, tensor in tensors.items() if tensor.grad is not None] == [needed]


def test_a_network_has_them_for_a_while() -> None:
    """Inside, dilated depth-wise convolutions alone are run so; outputs keep every bit, afterwards it is as before."""
    network = nn.Sequential(dil_conv(4, 5), sep_conv(4, 3), nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4))
    before, x = copy.deepcopy(network), torch.randn(2, 4, 8, 8)
    with fast_gradients(network):
        changed = [name for name, module in network.named_modules() if "forward" in vars(module)]
        out = network(x)
        out.sum().backward()
    assert changed == ["0.1"]  # the last has a bias
    assert not any("forward" in vars(module) for module in network.modules())
    expected = before(x)
    expected.sum().backward()
    assert torch.equal(out, expected)
    for one, other in zip(network.parameters(), before.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-5)
