"""The ImageNet search space of ProxylessNAS (Cai et al., ICLR 2019, arXiv:1812.00332).

A chain of inverted residual blocks as in MobileNetV2; every block chooses a kernel and an expansion, and a block that
keeps its shape may be left out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.nn.choice import Chooser
from archwright.nn.dropout import check_rate
from archwright.nn.initial import draw_fan_out, set_norms
from archwright.nn.ops.mbconv import MBConv, conv_unit
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.spaces.arguments import check_image
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, strides_of

CANDIDATES: dict[str, dict[str, Any]] = {
    f"k{kernel}e{expand}": {"kernel": kernel, "expand": expand} for kernel in (3, 5, 7) for expand in (3, 6)
}
ZERO = "zero"
WIDTHS = (32, 16, 24, 40, 80, 96, 192, 320, 1280)
"""Channels of the stem, of the first block, of the six stages, and before the pooling."""
BLOCKS = (4, 4, 4, 4, 4, 1)
STRIDED = (True, True, True, False, True, False)
"""For each stage, whether its first block has stride 2."""


@listed(
    "space",
    "proxylessnas",
    summary="MobileNetV2-like chain of 21 blocks: kernel 3, 5 or 7, expansion 3 or 6, 15 of them may be left out",
    source="Cai et al., ICLR 2019, arXiv:1812.00332",
)
class ProxylessNas(Space):
    """6 candidates in the first block of each of six stages, 7 in the 15 others: 6^6 x 7^15 archs.

    The seventh, `zero`, leaves the block out: the paper's zero operation beside the shortcut. At 224 pixels the stem
    and the stages 1, 2, 3 and 5 have stride 2. Smaller images keep as many of these strides as leave a map of at least
    4 x 4; the stem's is dropped first, then those of the last stages.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        widths: Channels after the stem, the first block and each of the six stages, and before the pooling.
        blocks: Number of blocks of each stage.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 224, 224)
    n_classes = 1000

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        widths: Sequence[int] = WIDTHS,
        blocks: Sequence[int] = BLOCKS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("proxylessnas", self.input_shape, MIN_SIDE)
        self.widths = check_counts("widths", widths, len(WIDTHS), "channels")
        self.blocks = check_counts("blocks", blocks, len(BLOCKS), "blocks")
        self.dropout = check_rate("dropout", dropout)

    def args(self) -> dict[str, Any]:
        return super().args() | {"widths": list(self.widths), "blocks": list(self.blocks), "dropout": self.dropout}

    def input_forms(self) -> list[str]:
        return image_forms(1 + sum(STRIDED))

    def declare(self) -> DecisionSpace:
        firsts = [i == 0 for n in self.blocks for i in range(n)]
        every = (*CANDIDATES, ZERO)
        return DecisionSpace(
            [Decision(f"block{i}", every[:-1] if is_first else every) for i, is_first in enumerate(firsts, start=1)]
        )

    def network(self, choose: Chooser) -> nn.Module:
        stem, first, *stage_widths, last = self.widths
        strides = strides_of(self.input_shape, (True, *STRIDED))
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = conv_unit(self.input_shape[0], stem, 3, stride=strides[0])
        stages["block0"] = MBConv(stem, first, kernel=3, expand=None)
        width, number = first, 1
        for n_out, n_blocks, stride in zip(stage_widths, self.blocks, strides[1:], strict=True):
            for i in range(n_blocks):
                block = partial(self._candidates, width, n_out, stride if i == 0 else 1)
                stages[f"block{number}"] = choose.op(f"block{number}", block(may_be_zero=i > 0))
                width, number = n_out, number + 1
        classifier = nn.Linear(last, self.n_classes)
        stages["head"] = nn.Sequential(
            conv_unit(width, last, 1), GlobalAvgPool2d(), nn.Dropout(self.dropout), classifier
        )
        network = nn.Sequential(stages)
        draw_fan_out(network)
        set_norms(network, eps=1e-3, momentum=0.1)
        return network

    @staticmethod
    def _candidates(n_in: int, n_out: int, stride: int, *, may_be_zero: bool) -> Mapping[str, Any]:
        found: dict[str, Any] = {
            key: partial(MBConv, n_in, n_out, stride=stride, **sizes) for key, sizes in CANDIDATES.items()
        }
        return found | {ZERO: nn.Identity} if may_be_zero else found
