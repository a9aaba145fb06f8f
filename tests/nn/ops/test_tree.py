"""Tree-structured cells."""

from __future__ import annotations

import torch
from torch import nn

from archwright.nn.ops.tree import TreeBlock, TreeNode, separable_conv


def test_a_node_of_identities_counts_its_leaves() -> None:
    """Two branches of two: four times what came in."""
    leaves = [TreeNode([nn.Identity(), nn.Identity()]) for _ in range(2)]
    node = TreeNode([nn.Identity(), nn.Identity()], leaves)
    x = torch.randn(2, 3, 4, 4)
    assert torch.allclose(node(x), 4 * x)


def test_zeros_widen_the_shortcut() -> None:
    """With the last norm at scale 0 the block gives what came in, and zeros in the channels beyond."""
    block = TreeBlock(4, 2, [nn.Identity(), nn.Identity()])
    norm = block.leave[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    x = torch.randn(2, 4, 6, 6)
    out = block(x)
    assert torch.equal(out[:, :4], x)
    assert not out[:, 4:].any()


def test_a_strided_block_averages_its_shortcut() -> None:
    """Over 2 x 2 pixels."""
    block = TreeBlock(4, 2, [nn.Identity(), nn.Identity()], stride=2)
    norm = block.leave[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(block(x)[:, :4], x.reshape(1, 4, 3, 2, 3, 2).mean((3, 5)), atol=1e-6)


def test_separable_conv_keeps_the_shape() -> None:
    """Also with dilation."""
    assert separable_conv(3, 3, dilation=2)(torch.randn(2, 3, 5, 5)).shape == (2, 3, 5, 5)
