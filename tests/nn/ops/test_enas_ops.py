"""Parts of ENAS's networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.ops.enas import MICRO_OPS, EnasAuxiliaryHead, reduction
from archwright.nn.ops.enas_macro import SumKept, final_operation
from archwright.nn.ops.nasnet import FactorizedReduction


def test_identity_has_weights_only_where_it_halves() -> None:
    """2 F^2 / 2 + 2 F there."""
    plain, halving = (MICRO_OPS["identity"](6, 6, stride) for stride in (1, 2))
    assert isinstance(plain, nn.Identity)
    assert isinstance(halving, FactorizedReduction)
    assert sum(p.numel() for p in halving.parameters()) == 6 * 6 + 2 * 6


def test_a_reduction_without_stride_is_a_convolution() -> None:
    """1x1 and batch norm, no ReLU."""
    assert [type(part).__name__ for part in reduction(4, 8, 1)] == ["Conv2d", "BatchNorm2d"]
    assert reduction(4, 8, 2)(torch.randn(2, 4, 5, 7)).shape == (2, 8, 3, 4)


@pytest.mark.parametrize("sides", [(5, 5), (8, 8), (8, 14)])
def test_auxiliary_head_keeps_its_map(sides: tuple[int, int]) -> None:
    """Behind the second convolution, whose window is the whole map, it is as large as before; zeros end it below."""
    head = EnasAuxiliaryHead(3, sides, 4, weight=0.4)
    x = torch.randn(2, 3, *sides)
    first, second = head.layers[:5](x), head.layers[:7](x)
    assert first.shape[2:] == second.shape[2:]
    assert head(x).shape == (2, 4)
    height, width = first.shape[2:]
    top, left = (height - 1) // 2, (width - 1) // 2
    weight = head.layers[6].weight
    # the window of the pixel at (top, left) begins at the first pixel of the map
    assert torch.allclose(second[:, :, top, left], torch.einsum("nchw,ochw->no", first, weight), atol=1e-4)


def test_sum_of_kept_tensors() -> None:
    """The last one and those with a 1."""
    tensors = [torch.full((2,), float(2**i)) for i in range(4)]
    assert SumKept((1, 0, 1))(tensors).tolist() == [13.0, 13.0]
    assert SumKept(())(tensors[3:]).tolist() == [8.0, 8.0]


@pytest.mark.parametrize(("kernel", "op"), [(3, "sep_conv_3x3"), (5, "sep_conv_5x5")])
def test_full_convolutions_stand_for_separable_ones(kernel: int, op: str) -> None:
    """k^2 F^2 instead of k^2 F + F^2."""
    sizes = [sum(p.numel() for p in final_operation(op, 4, full=full).parameters()) for full in (True, False)]
    assert sizes == [(1 + kernel**2) * 16 + 4 * 4, 2 * 16 + kernel**2 * 4 + 4 * 4]
