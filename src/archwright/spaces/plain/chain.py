"""The plain network for small images: a chain of six convolutions."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from archwright.core.catalog import listed
from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size
from archwright.spaces.plain.width import WidthSpace

N_STAGES, N_CONVS = 3, 2


@listed(
    "space",
    "plain-chain",
    summary="plain baseline for small images: six 3x3 convolutions, only their width is open",
    source="after Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556 (VGG), with batch norm",
)
class PlainChain(WidthSpace):
    """Six 3x3 convolutions, each with batch norm and ReLU; the width W doubles at each of two poolings.

    W, W, 2x2 maximum pooling, 2W, 2W, 2x2 maximum pooling, 4W, 4W, then global average pooling and a linear layer. W is
    an even number. Of 28x28 grey pixels and ten classes, W = 16 has 72,666 parameters.

    Args:
        input_shape: (channels, height, width), at least 4 pixels a side; meant for less than 64.
        n_classes: Number of classes.
        max_width: The largest W.
    """

    min_side = 4  # two poolings leave one pixel

    def input_forms(self) -> list[str]:
        return [f"{self.min_side} pixels a side and more, any number of channels; meant for less than 64 pixels"]

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", self.widths)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        channels: Size = self.input_shape[0]
        for s in range(N_STAGES):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if s else []
            for _ in range(N_CONVS):
                n_out = width * 2**s
                layers += [Conv2d(channels, n_out, 3, bias=False), BatchNorm2d(n_out), nn.ReLU(inplace=True)]
                channels = n_out
            stages[f"stage{s}"] = nn.Sequential(*layers)
        stages["head"] = nn.Sequential(GlobalAvgPool2d(), Linear(channels, self.n_classes))
        return nn.Sequential(stages)
