"""A LeNet with searched widths and kernels: two convolutions without padding, two hidden layers.

The layers are those of LeNet-5 (LeCun et al., 1998) as it is written today, with ReLU and maximum pooling. The space is
small enough to train every member: 729 archs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.elastic import Conv2d, Linear
from archwright.nn.sizes import Size, flattened, largest
from archwright.spaces.base import Space

CHANNELS = ((3, 6, 9), (12, 16, 20))
KERNELS = (3, 5, 7)
HIDDEN = ((64, 128, 256), (32, 84, 120))
MIN_SIDE = 22
"""Smallest side in pixels. Two 7x7 convolutions and poolings leave one pixel: (22 - 6) / 2 = 8, (8 - 6) / 2 = 1."""


@listed(
    "space",
    "lenet",
    summary="two convolutions without padding, two hidden layers: 729 small networks for images from 22 pixels on",
    source="LeCun et al., Proc. IEEE 1998 (LeNet-5)",
)
class LeNet(Space):
    """LeNet with three choices for each width and kernel: 3^6 archs.

    The two convolutions have {3, 6, 9} and {12, 16, 20} channels and kernels of 3, 5 or 7, the hidden layers
    {64, 128, 256} and {32, 84, 120} features. ReLU and 2x2 maximum pooling, which drops an odd last row and column,
    follow each convolution. In a supernet smaller kernels and images are the centres of the larger ones.

    Args:
        input_shape: (channels, height, width), at least 22 pixels a side.
        n_classes: Number of classes.
    """

    input_shape = (1, 28, 28)
    n_classes = 10

    def __init__(self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        if len(self.input_shape) != 3:
            raise InvalidValueError(
                f"space 'lenet' takes images (channels, height, width), not the shape {self.input_shape}; "
                "give three sides"
            )
        height, width = self.input_shape[1:]
        if min(height, width) < MIN_SIDE:
            raise InvalidValueError(
                f"space 'lenet' pads nothing, so it takes images of at least {MIN_SIDE}x{MIN_SIDE} pixels, "
                f"not {height}x{width}; give larger images (as mnist5k has) or another space"
            )

    def input_forms(self) -> list[str]:
        return [f"{MIN_SIDE} pixels a side and more, any number of channels"]

    def declare(self) -> DecisionSpace:
        found: list[Decision] = []
        for i, widths in enumerate(CHANNELS, start=1):
            found.append(Decision(f"conv{i}.channels", widths, "number"))
            found.append(Decision(f"conv{i}.kernel", KERNELS, "number"))
        found += [Decision(f"hidden{i}", widths, "number") for i, widths in enumerate(HIDDEN, start=1)]
        return DecisionSpace(found)

    def network(self, choose: Chooser) -> nn.Module:
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        channels: Size = self.input_shape[0]
        image: tuple[Size, Size] = (self.input_shape[1], self.input_shape[2])
        for i, widths in enumerate(CHANNELS, start=1):
            n_out = choose.number(f"conv{i}.channels", widths)
            kernel = choose.number(f"conv{i}.kernel", KERNELS)
            conv = Conv2d(channels, n_out, kernel, padding=0, image=image)
            stages[f"conv{i}"] = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2))
            channels, image = n_out, (_pooled(choose, image[0], kernel), _pooled(choose, image[1], kernel))
        stages["flatten"] = nn.Flatten()
        features: Size = flattened(channels, *image)
        for i, widths in enumerate(HIDDEN, start=1):
            n_hidden = choose.number(f"hidden{i}", widths)
            stages[f"hidden{i}"] = nn.Sequential(Linear(features, n_hidden), nn.ReLU())
            features = n_hidden
        stages["classifier"] = Linear(features, self.n_classes)
        return nn.Sequential(stages)


def _pooled(choose: Chooser, side: Size, kernel: Size) -> Size:
    """The side of an image behind a convolution and its pooling."""
    size: Size = choose.map(_side_after, side, kernel, largest=_side_after(largest(side), min(KERNELS)))
    return size


def _side_after(side: int, kernel: int) -> int:
    """What a convolution without padding, then 2x2 pooling leave of a side.

    >>> _side_after(28, 5), _side_after(12, 5)
    (12, 4)
    """
    return (side - kernel + 1) // 2
