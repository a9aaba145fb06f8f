"""The plain network for large images: a residual one of basic blocks."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from archwright.core.catalog import listed
from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.residual import Residual, ResidualBlock
from archwright.nn.sizes import Size
from archwright.spaces.plain.width import WidthSpace

N_STAGES = 4


@listed(
    "space",
    "plain-residual",
    summary="plain baseline for large images: ResNet-18, only its width is open",
    source="He et al., CVPR 2016, arXiv:1512.03385 (ResNet-18)",
)
class PlainResidual(WidthSpace):
    """ResNet-18 with its width W open: W = 64 is ResNet-18 itself.

    A 7x7 convolution and a maximum pooling, of stride 2 each, then four stages of two basic blocks with W, 2W, 4W and
    8W channels; each stage but the first halves the image. W is an even number.

    Args:
        input_shape: (channels, height, width), at least 32 pixels a side; meant for 64 and more.
        n_classes: Number of classes.
        max_width: The largest W.
    """

    input_shape = (3, 224, 224)
    n_classes = 1000
    max_width = 128
    min_side = 32  # the stem and three stages divide it by 32

    def input_forms(self) -> list[str]:
        return [f"{self.min_side} pixels a side and more, any number of channels; meant for 64 pixels and more"]

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", self.widths)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stem = Conv2d(self.input_shape[0], width, 7, stride=2, bias=False)
        stages["stem"] = nn.Sequential(stem, BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        stages["stage0"] = nn.Sequential(ResidualBlock(width), ResidualBlock(width))
        channels: Size = width
        for s in range(1, N_STAGES):
            n_out = width * 2**s
            stages[f"stage{s}"] = nn.Sequential(_halving(channels, n_out), ResidualBlock(n_out))
            channels = n_out
        stages["head"] = nn.Sequential(GlobalAvgPool2d(), Linear(channels, self.n_classes))
        return nn.Sequential(stages)


def _halving(n_in: Size, n_out: Size) -> nn.Module:
    """A basic block of stride 2, its shortcut a 1x1 convolution."""
    main = nn.Sequential(
        Conv2d(n_in, n_out, 3, stride=2, bias=False),
        BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
        Conv2d(n_out, n_out, 3, bias=False),
        BatchNorm2d(n_out),
    )
    shortcut = nn.Sequential(Conv2d(n_in, n_out, 1, stride=2, bias=False), BatchNorm2d(n_out))
    return nn.Sequential(Residual(main, shortcut), nn.ReLU(inplace=True))
