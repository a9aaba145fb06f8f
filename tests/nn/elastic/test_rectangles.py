"""Rectangular convolutions against torch's own on slices written out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.core.errors import SpaceError
from archwright.nn import Supernet
from archwright.nn.elastic import RectangularConv2d


def test_plain_sizes_give_torchs_own_layer() -> None:
    """Padded by half the kernel on each axis; strides round up."""
    conv = RectangularConv2d(3, 4, (7, 1), (3, 2))
    assert type(conv) is nn.Conv2d
    assert conv.bias is None
    assert conv(torch.zeros(1, 3, 8, 5)).shape == (1, 4, 3, 3)


@pytest.mark.parametrize(("height", "width", "stride"), [(1, 5, 1), (3, 1, 2), (5, 3, 3)])
def test_centre_of_the_kernel_and_the_active_stride(height: int, width: int, stride: int) -> None:
    """The slice of the 6 x 4 x 5 x 5 weight, cut by hand."""
    chooser = Supernet()
    sides = chooser.number("height", [1, 3, 5]), chooser.number("width", [1, 3, 5])
    conv = RectangularConv2d(4, chooser.number("out", [3, 6]), sides, (chooser.number("stride", [1, 2, 3]), 1))
    chooser.selection.activate({"height": height, "width": width, "out": 3, "stride": stride})
    x = torch.randn(2, 4, 7, 9)
    up, left = (5 - height) // 2, (5 - width) // 2
    weight = conv.weight[:3, :, up : 5 - up, left : 5 - left]
    assert torch.equal(conv(x), F.conv2d(x, weight, stride=(stride, 1), padding=(height // 2, width // 2)))


def test_sizes_of_zero_are_refused() -> None:
    """No filter at all."""
    with pytest.raises(SpaceError, match="a layer's size is 0"):
        RectangularConv2d(3, 0, (3, 3))
