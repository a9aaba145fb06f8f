"""A convolution whose kernel's two sides, dilations and groups may be decisions as well."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.elastic.layers import Elastic, Places, _checked, centre
from archwright.nn.meta import on_meta
from archwright.nn.sizes import Lazy, Size, current, places


def GroupedConv2d(
    in_channels: Size,
    out_channels: Size,
    kernel_size: tuple[Size, Size],
    *,
    dilation: tuple[Size, Size] = (1, 1),
    groups: Size = 1,
    shared: MutableMapping[str, nn.Parameter] | None = None,
    key: str = "",
) -> nn.Conv2d:
    """A 2-d convolution of stride 1 without bias that keeps the image size.

    An elastic one holds a kernel of one group: with more groups, an output channel reads the first weights of its
    row, as in SMASH (Brock et al., ICLR 2018).

    Args:
        in_channels: Channels of the input, a multiple of the groups.
        out_channels: Channels of the output, a multiple of the groups.
        kernel_size: Odd height and width.
        dilation: Dilation in height and in width.
        groups: Groups of channels.
        shared: Weights by key; elastic convolutions of equal largest sizes use one parameter if they give the same
            mapping and key. None shares nothing.
        key: Key of this convolution's weight in `shared`.
    """
    sizes = (in_channels, out_channels, *kernel_size, *dilation, groups)
    if not any(isinstance(size, Lazy) for size in sizes):
        n_in, n_out, height, width, down, across, n_groups = _checked(*sizes)
        padding = (height // 2 * down, width // 2 * across)
        return nn.Conv2d(n_in, n_out, (height, width), 1, padding, dilation=(down, across), groups=n_groups, bias=False)
    make = partial(ElasticGroupedConv2d, in_channels, out_channels, kernel_size, dilation=dilation, groups=groups)
    if shared is None or key not in shared:
        layer = make()
        if shared is not None:
            shared[key] = layer.get_parameter("weight")
        return layer
    with on_meta():  # its own weight is not needed
        layer = make()
    layer.weight = shared[key]
    return layer


class ElasticGroupedConv2d(Elastic, nn.Conv2d):
    """A convolution on the first active channels and the centre of its largest kernel, in the active groups.

    Made by `GroupedConv2d`.

    Args:
        in_channels: Channels of the input, a multiple of the groups.
        out_channels: Channels of the output, a multiple of the groups.
        kernel_size: Odd height and width.
        dilation: Dilation in height and in width.
        groups: Groups of channels.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: tuple[Size, Size],
        *,
        dilation: tuple[Size, Size],
        groups: Size,
    ) -> None:
        n_in, n_out, height, width = _checked(in_channels, out_channels, *kernel_size)
        super().__init__(n_in, n_out, (height, width), bias=False)
        self.sizes = (in_channels, out_channels, *kernel_size, *dilation, groups)
        self.out_size = out_channels

    def axes(self) -> dict[str, tuple[Places, ...]]:
        n_in, n_out, height, width, _, _, groups = self.sizes
        read = (slice(0, current(n_in) // current(groups)),)
        sides = zip(self.kernel_size, (height, width), strict=True)
        return {"weight": (places(n_out), read, *(centre(most, current(side)) for most, side in sides))}

    def forward(self, x: Tensor) -> Tensor:
        numbers: list[Any] = [current(size) for size in self.sizes]
        _, _, height, width, down, across, groups = numbers
        padding = (height // 2 * down, width // 2 * across)
        weight = self.active_state()["weight"]
        return F.conv2d(x, weight, None, 1, padding, (down, across), groups)
