"""The inverted residual block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.ops.mbconv import MBConv, inverted_bottleneck
from archwright.nn.ops.squeeze import SqueezeExcite


def test_same_as_torchvision() -> None:
    """MobileNetV2's own block with the same weights, in order."""
    models = pytest.importorskip("torchvision.models.mobilenetv2")
    torch.manual_seed(0)
    ours, theirs = MBConv(8, 8, kernel=3, expand=6), models.InvertedResidual(8, 8, stride=1, expand_ratio=6)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 8, 6, 6)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-6)


def test_parts_by_name() -> None:
    """Squeeze-and-excitation stands before the last convolution; no expansion, no first convolution."""
    full = inverted_bottleneck(4, 6, kernel=5, expand=3, squeeze=lambda middle: SqueezeExcite(middle, 1))
    assert [name for name, _ in full.named_children()] == ["expand", "depthwise", "squeeze", "project"]
    assert [name for name, _ in inverted_bottleneck(4, 6, kernel=3, expand=None).named_children()] == [
        "depthwise",
        "project",
    ]


def test_groups_shuffle() -> None:
    """Both point-wise convolutions have the groups, and channels are mixed between them."""
    grouped = inverted_bottleneck(4, 6, kernel=3, expand=3, groups=2, bias=True)
    assert [name for name, _ in grouped.named_children()] == ["expand", "shuffle", "depthwise", "project"]
    convs = [part for part in grouped.modules() if isinstance(part, nn.Conv2d)]
    assert [conv.groups for conv in convs] == [2, 12, 2]
    assert all(conv.bias is not None for conv in convs)


def test_shortcut_only_where_the_shape_stays() -> None:
    """Neither with a stride nor with other channels."""
    made = [MBConv(4, n, kernel=3, expand=2, stride=stride) for n, stride in ((4, 1), (4, 2), (6, 1))]
    assert [block.has_shortcut for block in made] == [True, False, False]
