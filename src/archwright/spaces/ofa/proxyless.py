"""The ProxylessNAS form of Once-for-All (Cai et al., ICLR 2020, arXiv:1908.09791); figures of the released code."""

from __future__ import annotations

from functools import partial

from torch import nn

from archwright.core.catalog import listed
from archwright.nn.elastic import Conv2d
from archwright.nn.ops.mbconv import conv_unit, inverted_bottleneck
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.residual import Residual
from archwright.spaces.ofa.chains import OfaChain
from archwright.spaces.ofa.layout import Image, Layout, Stage

GOOGLE_WIDTHS = (32, 16, 24, 32, 64, 96, 160, 320, 1280)
"""The widths of MobileNetV2, which the released code offers too."""


@listed(
    "space",
    "ofa-proxyless",
    summary="ProxylessNAS chain: depth of five stages, kernel and expansion of every block, resolution if wanted",
    source="Cai et al., ICLR 2020, arXiv:1908.09791",
)
class OfaProxyless(OfaChain):
    """Five stages of 2 to 4 blocks and a last block, kernel 3, 5 or 7, expansion 3, 4 or 6: 9 x 7371^5 archs.

    ReLU6 everywhere, no squeeze-and-excitation, no shortcut around the first block. The last width is that before the
    pooling. Resolutions make it 25 times as many. The released networks have a `width_mult` of 1.3.
    """

    base_widths = (32, 16, 24, 40, 80, 96, 192, 320, 1280)
    stages = tuple(Stage(stride, nn.ReLU6) for stride in (2, 2, 2, 1, 2, 1))
    norm_eps = 1e-3

    def stem(self, layout: Layout, image: Image | None) -> nn.Module:
        return conv_unit(
            self.input_shape[0], layout.stem, 3, stride=layout.stem_stride, conv=partial(Conv2d, image=image)
        )

    def first_block(self, layout: Layout, image: Image | None) -> nn.Module:
        conv = partial(Conv2d, image=image)
        return Residual(inverted_bottleneck(layout.stem, layout.first, kernel=3, expand=None, convs=(conv, conv, conv)))

    def head(self, layout: Layout, image: Image | None) -> nn.Module:
        (last,) = layout.ends
        unit = conv_unit(layout.last, last, 1, conv=partial(Conv2d, image=image))
        return nn.Sequential(unit, GlobalAvgPool2d(), nn.Dropout(self.dropout), nn.Linear(last, self.n_classes))
