"""Dense 3x3 convolutions for small images: a chain of three stages that choose widths, depths and how they halve.

Networks of depth-wise convolutions have fewer multiply-accumulates, but dense ones train several times as fast per
multiply-accumulate on CPUs; where the time of a run is given, that is what counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.errors import InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.residual import ResidualBlock
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image
from archwright.spaces.auto_use import AutoUse
from archwright.spaces.base import Space
from archwright.spaces.pieces import CostFormula

N_STAGES = 3
STEM_WIDTH = 16
DEPTHS = (0, 1, 2)
FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Of a stage's width; the stem's is one of the first three."""

LANES, NARROW = 16, 8
"""Widths are multiples of the numbers in a processor's register: others take up to twice as long to train (see
`training.forms`). Below them is one narrow width."""

MIN_SIDE, MIN_HALVED = 4, 3
"""Smallest side in pixels of an image, and of a map that a stage halves to."""

MAX_MULT = 32.0
ENTRIES = ("pool-conv", "conv-pool")
"""Strided convolutions are not among them: after 1,000 steps of CIFAR-10, the same network halved by them has 0.03 less
accuracy (docs/benchmarks.md)."""


@listed(
    "space",
    "conv-chain",
    summary="dense 3x3 convolutions for small images: widths, depths and halvings of three stages",
    source="our own, of ResNet's basic blocks (He et al., CVPR 2016, arXiv:1512.03385)",
)
class ConvChain(Space):
    """A stem and three stages, each with its width, its residual blocks and its way to halve the image.

    A stage begins with a 3x3 convolution to its width W and then has no, one or two basic residual blocks of ResNet.
    Where it halves the image, maximum pooling comes before that convolution or behind it. Each convolution has batch
    norm and ReLU. Behind the last stage stand global average pooling and a linear layer.

    With `width_mult` = m the stem has 16m channels times one of three factors, stage s has 16m 2^s times one of five,
    as the nearest multiple of 16, or 8. A stage halves the image as long as at least 3 pixels are left: from 24 pixels
    a side on all three do.

    Args:
        input_shape: (channels, height, width), at least 4 pixels a side; meant for less than 64.
        n_classes: Number of classes.
        width_mult: Factor of all widths.
    """

    input_shape = (3, 32, 32)
    n_classes = 10
    auto = AutoUse(tuple({"width_mult": m} for m in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)), sides=(8, 63))

    def __init__(
        self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None, width_mult: float = 1.0
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("conv-chain", self.input_shape, MIN_SIDE)
        if isinstance(width_mult, bool) or not isinstance(width_mult, int | float) or not 0 < width_mult <= MAX_MULT:
            raise InvalidValueError(f"width_mult is {width_mult!r}; give a number above 0, at most {MAX_MULT:g}")
        self.width_mult = float(width_mult)

    def args(self) -> dict[str, Any]:
        return super().args() | {"width_mult": self.width_mult}

    def input_forms(self) -> list[str]:
        full = MIN_HALVED * 2**N_STAGES
        return [
            f"{full} pixels a side and more: three halvings; meant for less than 64 pixels",
            f"{MIN_SIDE} to {full - 1} pixels: as many halvings as leave {MIN_HALVED}x{MIN_HALVED} pixels",
        ]

    @property
    def n_halvings(self) -> int:
        """How many stages halve the image, the first ones."""
        side, n = min(self.input_shape[1:]), 0
        while n < N_STAGES and (side := side // 2) >= MIN_HALVED:
            n += 1
        return n

    def declare(self) -> DecisionSpace:
        found = [Decision("stem.width", self._widths(0), "number")]
        for s in range(1, N_STAGES + 1):
            found.append(Decision(f"stage{s}.width", self._widths(s), "number"))
            if s <= self.n_halvings:
                found.append(Decision(f"stage{s}.entry", ENTRIES))
            found.append(Decision(f"stage{s}.depth", DEPTHS, "repeat"))
        return DecisionSpace(found)

    def cost_formula(self) -> CostFormula:
        """Parameters and multiply-accumulates; tables would be made of hundreds of networks."""

        def of(rows: Rows) -> dict[str, NDArray[np.float64]]:
            values = dict(zip(self.decisions.names, rows.T, strict=True))
            height, width = (np.full(len(rows), float(side)) for side in self.input_shape[1:])
            channels = np.array(self._widths(0), dtype=np.float64)[values["stem.width"]]
            weights = 9.0 * self.input_shape[0] * channels
            params, macs = weights + 2 * channels, weights * height * width
            for s in range(1, N_STAGES + 1):
                n_out = np.array(self._widths(s), dtype=np.float64)[values[f"stage{s}.width"]]
                weights = 9 * channels * n_out
                before = height * width
                if s <= self.n_halvings:
                    height, width = (np.floor(side / 2) for side in (height, width))
                    is_first = values[f"stage{s}.entry"] == ENTRIES.index("conv-pool")
                    before = np.where(is_first, before, height * width)
                blocks = np.array(DEPTHS, dtype=np.float64)[values[f"stage{s}.depth"]]
                params = params + weights + 2 * n_out + blocks * (18 * n_out**2 + 4 * n_out)
                macs = macs + weights * before + blocks * 18 * n_out**2 * height * width
                channels = n_out
            head = channels * self.n_classes
            return {"params": params + head + self.n_classes, "macs": macs + head}

        return of

    def _widths(self, stage: int) -> tuple[int, ...]:
        """Widths to choose from, each once; of the stem at stage 0."""
        full = STEM_WIDTH * 2**stage * self.width_mult
        factors = FACTORS if stage else FACTORS[:3]
        return tuple(dict.fromkeys(max(NARROW, round(full * factor / LANES) * LANES) for factor in factors))

    def network(self, choose: Chooser) -> nn.Module:
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        channels: Size = choose.number("stem.width", self._widths(0))
        stages["stem"] = _unit(self.input_shape[0], channels)
        for s in range(1, N_STAGES + 1):
            width = choose.number(f"stage{s}.width", self._widths(s))
            stages[f"stage{s}.entry"] = self._entry(choose, s, channels, width)
            block = partial(_block, width)
            stages[f"stage{s}"] = choose.repeat(f"stage{s}.depth", DEPTHS, block)
            channels = width
        stages["head"] = nn.Sequential(GlobalAvgPool2d(), Linear(channels, self.n_classes))
        return nn.Sequential(OrderedDict((name.replace(".", "_"), stage) for name, stage in stages.items()))

    def _entry(self, choose: Chooser, stage: int, n_in: Size, n_out: Size) -> nn.Module:
        if stage > self.n_halvings:
            return _unit(n_in, n_out)
        entries = {
            "pool-conv": lambda: nn.Sequential(nn.MaxPool2d(2), _unit(n_in, n_out)),
            "conv-pool": lambda: nn.Sequential(_unit(n_in, n_out), nn.MaxPool2d(2)),
        }
        return choose.op(f"stage{stage}.entry", {name: entries[name] for name in ENTRIES})


def _unit(n_in: Size, n_out: Size) -> nn.Sequential:
    return nn.Sequential(Conv2d(n_in, n_out, 3, bias=False), BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _block(width: Size, i: int) -> nn.Module:
    return ResidualBlock(width)
