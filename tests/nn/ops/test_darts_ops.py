"""DARTS's operations: weights, sizes, values."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from archwright.costs.counting.count import count
from archwright.nn.added_losses import AddedLosses
from archwright.nn.drop_path import DropPath
from archwright.nn.ops import darts as ops

FIGURES = {16: (864, 1376, 432, 688, 288), 36: (3384, 4536, 1692, 2268, 1368)}


@pytest.mark.parametrize("width", FIGURES)
def test_weights_of_operations(width: int) -> None:
    """Separable 3 and 5, dilated 3 and 5 at stride 1, skip at stride 2, with affine batch norms."""
    made = [
        *(ops.sep_conv(width, kernel) for kernel in (3, 5)),
        *(ops.dil_conv(width, kernel) for kernel in (3, 5)),
        ops.skip_connect(width, stride=2),
    ]
    assert tuple(sum(p.numel() for p in op.parameters()) for op in made) == FIGURES[width]


def test_sep_conv_has_two_depthwise_stages_and_dil_conv_one() -> None:
    """Only the first one strides."""
    convs = [conv for conv in ops.sep_conv(4, 3, stride=2).modules() if isinstance(conv, nn.Conv2d)]
    assert [(conv.groups, conv.stride[0]) for conv in convs] == [(4, 2), (1, 1), (4, 1), (1, 1)]
    convs = [conv for conv in ops.dil_conv(4, 5, stride=2).modules() if isinstance(conv, nn.Conv2d)]
    assert [(conv.groups, conv.stride[0], conv.dilation[0]) for conv in convs] == [(4, 2, 2), (1, 1, 1)]


@pytest.mark.parametrize("side", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_all_operations_of_a_stride_agree_on_the_size(side: int, stride: int) -> None:
    """Sides are halved and rounded up, by every operation alike."""
    x = torch.randn(2, 4, side, side + 1)
    made = [
        ops.none(stride),
        ops.skip_connect(4, stride=stride),
        *(op(4, stride=stride) for op in (ops.max_pool, ops.avg_pool)),
        *(op(4, kernel, stride=stride) for op in (ops.sep_conv, ops.dil_conv) for kernel in (3, 5)),
    ]
    assert {tuple(op(x).shape) for op in made} == {(2, 4, -(-side // stride), -(-(side + 1) // stride))}


def test_factorized_reduce_reads_both_phases() -> None:
    """The first half of the channels sees pixels (0, 0), the second pixels (1, 1); beyond an odd side it sees 0."""
    halves = ops.TwoPhases(1, 2)
    nn.init.ones_(halves.first.weight)
    nn.init.ones_(halves.second.weight)
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    first, second = halves(x)[0]
    assert first.tolist() == [[0, 2], [6, 8]]
    assert second.tolist() == [[4, 0], [0, 0]]
    even = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(halves(even)[0, 1], even[0, 0, 1::2, 1::2])


def test_average_pooling_counts_pixels_of_the_image_only() -> None:
    """At both strides."""
    x = torch.ones(1, 1, 5, 5)
    for stride in (1, 2):
        assert bool((ops.avg_pool(1, stride=stride)(x) == 1).all())


def test_zeros_need_no_weights() -> None:
    """And cost nothing."""
    assert not bool(ops.none(2)(torch.ones(1, 2, 4, 4)).any())
    assert count(ops.none(2), (2, 4, 4)).macs == 0


def test_auxiliary_head_adds_its_weighted_loss_once() -> None:
    """For the last pass; a copy of the module has no part in it."""
    head = ops.AuxiliaryHead(4, 3, weight=0.4)
    logits, added = head(torch.randn(2, 4, 8, 8)), AddedLosses(nn.Sequential(head))
    assert logits.shape == (2, 3)
    assert copy.deepcopy(head).added_loss(torch.sum) is None
    found = added.take(torch.sum)
    assert found is not None
    assert found.item() == pytest.approx(0.4 * logits.sum().item(), abs=1e-6)
    assert added.take(torch.sum) is None


def test_an_identity_is_never_dropped() -> None:
    """Every other operation gets a drop path behind it, its layers named as before."""
    assert isinstance(ops.dropping(ops.skip_connect(4), 0.2), nn.Identity)
    for op in (ops.skip_connect(4, stride=2), ops.max_pool(4), ops.sep_conv(4, 3)):
        names = list(op.state_dict())
        dropping = ops.dropping(op, 0.2)
        assert isinstance(list(dropping.children())[-1], DropPath)
        assert list(dropping.state_dict()) == names
