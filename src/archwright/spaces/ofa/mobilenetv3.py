"""The MobileNetV3 form of Once-for-All (Cai et al., ICLR 2020, arXiv:1908.09791); figures of the released code."""

from __future__ import annotations

from functools import partial

from torch import nn

from archwright.core.catalog import listed
from archwright.nn.elastic import Conv2d
from archwright.nn.ops.mbconv import MBConv, conv_unit
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.spaces.ofa.chains import OfaChain
from archwright.spaces.ofa.layout import Image, Layout, Stage


@listed(
    "space",
    "ofa-mobilenetv3",
    summary="MobileNetV3 chain: depth of five stages, kernel and expansion of every block, resolution if wanted",
    source="Cai et al., ICLR 2020, arXiv:1908.09791",
)
class OfaMobileNetV3(OfaChain):
    """Five stages of 2 to 4 blocks, kernel 3, 5 or 7, expansion 3, 4 or 6: 7371^5 archs, x 25 with resolutions.

    Stages 2, 4 and 5 have squeeze-and-excitation; ReLU in the first block and stages 1 and 2, hard swish elsewhere.
    The last two widths are those before the pooling and of the layer after it, which has no batch norm.
    """

    base_widths = (16, 16, 24, 40, 80, 112, 160, 960, 1280)
    stages = (
        Stage(2, nn.ReLU),
        Stage(2, nn.ReLU, has_squeeze=True),
        Stage(2, nn.Hardswish),
        Stage(1, nn.Hardswish, has_squeeze=True),
        Stage(2, nn.Hardswish, has_squeeze=True),
    )
    norm_eps = 1e-5

    def stem(self, layout: Layout, image: Image | None) -> nn.Module:
        conv = partial(Conv2d, image=image)
        return conv_unit(
            self.input_shape[0], layout.stem, 3, stride=layout.stem_stride, activation=nn.Hardswish, conv=conv
        )

    def first_block(self, layout: Layout, image: Image | None) -> nn.Module:
        conv = partial(Conv2d, image=image)
        return MBConv(layout.stem, layout.first, kernel=3, expand=None, activation=nn.ReLU, convs=(conv, conv, conv))

    def head(self, layout: Layout, image: Image | None) -> nn.Module:
        wide, last = layout.ends
        unit = conv_unit(layout.last, wide, 1, activation=nn.Hardswish, conv=partial(Conv2d, image=image))
        mix = [nn.Linear(wide, last, bias=False), nn.Hardswish()]
        return nn.Sequential(unit, GlobalAvgPool2d(), *mix, nn.Dropout(self.dropout), nn.Linear(last, self.n_classes))
