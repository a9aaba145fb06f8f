"""Tree-structured cells: a node gives its input to branches and adds their results (Cai et al., ICML 2018).

As in the CIFAR-10 network of ProxylessNAS (Cai et al., ICLR 2019, released code): batch norm and ReLU come before
each convolution.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.source import source_template


def bn_relu_conv(
    n_in: int, n_out: int, kernel: int, *, stride: int = 1, groups: int = 1, dilation: int = 1, relu: bool = True
) -> nn.Sequential:
    """Batch norm, ReLU and a convolution without bias that keeps the image size at stride 1.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: Odd side of the square kernel.
        stride: Step in pixels.
        groups: Groups of the convolution.
        dilation: Distance in pixels between the entries of the kernel.
        relu: Whether there is a ReLU.
    """
    padding = kernel // 2 * dilation
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation=dilation, groups=groups, bias=False)
    return nn.Sequential(nn.BatchNorm2d(n_in), *([nn.ReLU()] if relu else []), conv)


def separable_conv(channels: int, kernel: int, *, dilation: int = 1) -> nn.Sequential:
    """Batch norm, ReLU, a depth-wise and a point-wise convolution: (N, C, H, W) → the same shape.

    Args:
        channels: Channels of input and output.
        kernel: Odd side of the depth-wise kernel.
        dilation: Distance in pixels between the entries of the kernel.
    """
    depthwise = bn_relu_conv(channels, channels, kernel, groups=channels, dilation=dilation)
    return nn.Sequential(*depthwise, nn.Conv2d(channels, channels, 1, bias=False))


@source_template(
    '''
    class TreeNode(nn.Module):
        """The sum of its branches: each an edge, then the node it leads to if there is one."""

        def __init__(self, edges: Sequence[nn.Module], nodes: Sequence[nn.Module] = ()) -> None:
            super().__init__()
            self.edges, self.nodes = nn.ModuleList(edges), nn.ModuleList(nodes)

        def forward(self, x: Tensor) -> Tensor:
            branches = [edge(x) for edge in self.edges]
            if len(self.nodes) > 0:
                branches = [node(branch) for node, branch in zip(self.nodes, branches, strict=True)]
            return sum(branches[1:], branches[0])
    ''',
    arguments=lambda node: {"edges": list(node.edges)} | ({"nodes": list(node.nodes)} if len(node.nodes) else {}),
)
class TreeNode(nn.Module):
    """The sum of the node's branches; a branch is an edge and, unless it ends there, the node it leads to.

    Args:
        edges: One for each branch.
        nodes: One for each branch, or none at a leaf.
    """

    def __init__(self, edges: Sequence[nn.Module], nodes: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.edges, self.nodes = nn.ModuleList(edges), nn.ModuleList(nodes)

    def forward(self, x: Tensor) -> Tensor:
        branches = [edge(x) for edge in self.edges]
        if len(self.nodes):
            branches = [node(branch) for node, branch in zip(self.nodes, branches, strict=True)]
        total: Tensor = functools.reduce(torch.add, branches)
        return total


@source_template(
    '''
    class TreeBlock(nn.Module):
        """A tree cell between two 1x1 convolutions, added to a shortcut that zeros widen."""

        def __init__(
            self,
            shortcut: nn.Module,
            enter: nn.Module,
            branches: Sequence[nn.Module],
            norms: Sequence[nn.Module],
            leave: nn.Module,
        ) -> None:
            super().__init__()
            self.shortcut, self.enter, self.leave = shortcut, enter, leave
            self.branches, self.norms = nn.ModuleList(branches), nn.ModuleList(norms)

        def forward(self, x: Tensor) -> Tensor:
            parts = self.enter(x).chunk(len(self.branches), dim=1)
            each = zip(self.norms, self.branches, parts, strict=True)
            summed = [norm(branch(part)) + part for norm, branch, part in each]
            out, kept = self.leave(sum(summed[1:], summed[0])), self.shortcut(x)
            return F.pad(kept, (0, 0, 0, 0, 0, out.shape[1] - kept.shape[1])) + out
    ''',
    arguments=lambda block: {
        "shortcut": block.shortcut,
        "enter": block.enter,
        "branches": list(block.branches),
        "norms": list(block.norms),
        "leave": block.leave,
    },
)
class TreeBlock(nn.Module):
    """A tree cell between two 1x1 convolutions, added to the input: (N, C, H, W) → (N, 4 C', ⌈H/s⌉, ⌈W/s⌉).

    The cell's root, a 3x3 convolution in two groups with a channel shuffle, doubles the channels and gives one half
    to each of two branches; a branch's batch norm is added to the half it was given. The shortcut takes the mean over
    2 x 2 pixels if the block has a stride, and zeros widen it.

    Args:
        n_in: Input channels.
        width: Channels C' of each branch.
        branches: The two nodes.
        stride: 1 or 2.
    """

    def __init__(self, n_in: int, width: int, branches: Sequence[nn.Module], *, stride: int = 1) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if stride == 1 else nn.AvgPool2d(2, 2, ceil_mode=True)
        root = bn_relu_conv(width, 2 * width, 3, stride=stride, groups=2)
        self.enter = nn.Sequential(bn_relu_conv(n_in, width, 1, relu=False), root, nn.ChannelShuffle(2))
        self.branches = nn.ModuleList(branches)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in branches)
        self.leave = nn.Sequential(bn_relu_conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.enter(x).chunk(len(self.branches), dim=1)
        each = zip(self.norms, self.branches, parts, strict=True)
        summed = [norm(branch(part)) + part for norm, branch, part in each]
        out: Tensor = self.leave(functools.reduce(torch.add, summed))
        kept: Tensor = self.shortcut(x)
        return F.pad(kept, (0, 0, 0, 0, 0, out.shape[1] - kept.shape[1])) + out
