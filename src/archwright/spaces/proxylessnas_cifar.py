"""The CIFAR-10 search space of ProxylessNAS (Cai et al., ICLR 2019, arXiv:1812.00332).

Tree-structured cells (Cai et al., ICML 2018, arXiv:1806.02639) in a chain whose widths grow from block to block
(PyramidNet, Han et al., CVPR 2017). Figures and details are those of the released network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.nn.choice import Chooser
from archwright.nn.initial import draw_fan_out
from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d
from archwright.nn.ops.tree import TreeBlock, TreeNode, separable_conv
from archwright.spaces.arguments import check_image
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, strides_of

CANDIDATES: dict[str, Any] = {
    "conv3": partial(separable_conv, kernel=3),
    "conv5": partial(separable_conv, kernel=5),
    "conv7": partial(separable_conv, kernel=7),
    "conv3_dilated": partial(separable_conv, kernel=3, dilation=2),
    "avg_pool": lambda channels: LocalAvgPool2d(3),
    "max_pool": lambda channels: nn.MaxPool2d(3, 1, 1),
    "identity": lambda channels: nn.Identity(),
}
BRANCHES = (0, 1)


@listed(
    "space",
    "proxylessnas-cifar",
    summary="54 tree-structured cells of growing width for CIFAR-10, 12 edges each, each one of seven",
    source="Cai et al., ICLR 2019, arXiv:1812.00332",
)
class ProxylessNasCifar(Space):
    """54 blocks of 12 edges with 7 candidates: 7^648 archs.

    A block's cell has two branches; each is a node of two edges, each leading to a node of two edges. The candidates of
    an edge are depth-wise separable convolutions of kernel 3, 5 or 7, or 3 with dilation 2, 3x3 average and maximum
    pooling, and identity. They are those of the released network, since the paper does not list them. From 13 pixels a
    side on two of the blocks have stride 2, from 7 pixels on one.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        blocks: Number of blocks in each of three groups.
        start: Channels of the stem, and the width of a branch before it grows.
        widening: Channels by which the width of a branch has grown in the last block.
    """

    input_shape = (3, 32, 32)
    n_classes = 10
    n_groups: ClassVar[int] = 3

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        blocks: int = 18,
        start: int = 16,
        widening: int = 84,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("proxylessnas-cifar", self.input_shape, MIN_SIDE)
        (self.blocks,) = check_counts("blocks", [blocks], 1, "blocks")
        (self.start,) = check_counts("start", [start], 1, "channels")
        (self.widening,) = check_counts("widening", [widening], 1, "channels")

    def args(self) -> dict[str, Any]:
        return super().args() | {"blocks": self.blocks, "start": self.start, "widening": self.widening}

    def input_forms(self) -> list[str]:
        return image_forms(self.n_groups - 1)

    def widths(self) -> list[int]:
        """The width of the branches of each block; it is even, because the block's root has two groups."""
        n_blocks = self.n_groups * self.blocks
        growing = (self.start + self.widening * i / n_blocks for i in range(1, n_blocks + 1))
        return [max(2, round(width) // 2 * 2) for width in growing]

    def declare(self) -> DecisionSpace:
        edges = [f"block{i}.{edge}" for i in range(1, self.n_groups * self.blocks + 1) for edge in edge_names()]
        return DecisionSpace([Decision(edge, tuple(CANDIDATES)) for edge in edges])

    def network(self, choose: Chooser) -> nn.Module:
        strides = strides_of(self.input_shape, (False, *[True] * (self.n_groups - 1)))
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stem = nn.Conv2d(self.input_shape[0], self.start, 3, padding=1, bias=False)
        stages["stem"] = nn.Sequential(stem, nn.BatchNorm2d(self.start))
        n_in = self.start
        for i, width in enumerate(self.widths()):
            group, place = divmod(i, self.blocks)
            branches = [_node(choose, f"block{i + 1}.{branch}", width) for branch in BRANCHES]
            stages[f"block{i + 1}"] = TreeBlock(n_in, width, branches, stride=strides[group] if place == 0 else 1)
            n_in = 4 * width
        stages["head"] = nn.Sequential(
            nn.BatchNorm2d(n_in), nn.ReLU(), GlobalAvgPool2d(), nn.Linear(n_in, self.n_classes)
        )
        network = nn.Sequential(stages)
        draw_fan_out(network)
        return network


def edge_names() -> list[str]:
    """Names of a cell's edges, made of the numbers of the branches that lead to them: `00`, `000`, `001`, `01`, …"""
    return [f"{branch}{edge}{leaf}" for branch in BRANCHES for edge in BRANCHES for leaf in ("", *map(str, BRANCHES))]


def _node(choose: Chooser, path: str, width: int) -> TreeNode:
    """The node a branch leads to; its edges and those below them ask in the order of `edge_names`."""
    edges, nodes = [], []
    for branch in BRANCHES:
        edges.append(_edge(choose, f"{path}{branch}", width))
        nodes.append(TreeNode([_edge(choose, f"{path}{branch}{leaf}", width) for leaf in BRANCHES]))
    return TreeNode(edges, nodes)


def _edge(choose: Chooser, name: str, width: int) -> nn.Module:
    return choose.op(name, {key: partial(make, width) for key, make in CANDIDATES.items()})
