"""A user's own space that says when `auto` may take it: one convolution whose width has four values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.spaces import Space
from archwright.spaces.auto_use import AutoUse


class Stepped(Space):
    """Widths of one to four times `mult`; at 1x8x8 and ten classes a width has 74 multiply-accumulates."""

    auto = AutoUse(tuple({"mult": mult} for mult in (1, 2, 4)), sides=(8, 63))

    def __init__(
        self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None, mult: int = 1
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        self.mult = mult

    def args(self) -> dict[str, Any]:
        return super().args() | {"mult": self.mult}

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", tuple(self.mult * n for n in (1, 2, 3, 4)))
        conv = Conv2d(self.input_shape[0], width, 1, bias=False)
        return nn.Sequential(conv, BatchNorm2d(width), nn.ReLU(), GlobalAvgPool2d(), Linear(width, self.n_classes))
