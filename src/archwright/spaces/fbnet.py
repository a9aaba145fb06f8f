"""The search space of FBNet (Wu et al., CVPR 2019, arXiv:1812.03443).

A chain of 22 layers of fixed widths; every layer is one of eight inverted residual blocks, some with grouped
convolutions, or is skipped. Figures and details are those of the released model definitions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.dropout import check_rate
from archwright.nn.initial import draw_fan_out
from archwright.nn.ops.mbconv import conv_unit, inverted_bottleneck
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.residual import Residual
from archwright.spaces.arguments import check_image, truth_value
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, strides_of

CANDIDATES: dict[str, dict[str, int]] = {
    f"k{kernel}_{name}": {"kernel": kernel, **form}
    for kernel in (3, 5)
    for name, form in {
        "e1": {"expand": 1},
        "e1_g2": {"expand": 1, "groups": 2},
        "e3": {"expand": 3},
        "e6": {"expand": 6},
    }.items()
}
SKIP = "skip"
WIDTHS = (16, 16, 24, 32, 64, 112, 184, 352, 1504)
"""Channels of the stem, of the seven groups of layers, and before the pooling."""
LAYERS = (1, 4, 4, 4, 4, 4, 1)
STRIDED = (False, True, True, True, False, True, False)
"""For each group, whether its first layer has stride 2."""


@listed(
    "space",
    "fbnet",
    summary="chain of 22 layers, each one of eight inverted residual blocks or skipped",
    source="Wu et al., CVPR 2019, arXiv:1812.03443",
)
class FBNet(Space):
    """22 layers x 9 candidates: 9^22 archs.

    A block is a 1x1 convolution that widens (left out for expansion 1), a depth-wise convolution and a 1x1 convolution
    that narrows; its input is added if the shape stays the same. In grouped blocks both 1x1 convolutions have groups,
    and channels are shuffled between them. `skip` is the identity, or a 1x1 convolution, batch norm and ReLU if the
    shape changes. At 224 pixels the stem and the first layers of four groups have stride 2. Smaller images keep as many
    of these strides as leave a map of at least 4 x 4; the stem's is dropped first, then those of the last groups.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        widths: Channels after the stem and each of the seven groups, and before the pooling (1984 in FBNet-B and C).
        layers: Layers of each group.
        bias: Whether the convolutions of the 22 layers have biases besides the batch norms, as in the released models.
        always_expand: Whether blocks of expansion 1 have the first 1x1 convolution too, as the paper draws them; the
            released models leave it out.
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
        layers: Sequence[int] = LAYERS,
        bias: bool = True,
        always_expand: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("fbnet", self.input_shape, MIN_SIDE)
        self.widths = check_counts("widths", widths, len(WIDTHS), "channels")
        check_even(self.widths)
        self.layers = check_counts("layers", layers, len(LAYERS), "layers")
        self.bias, self.always_expand = truth_value("bias", bias), truth_value("always_expand", always_expand)
        self.dropout = check_rate("dropout", dropout)

    def args(self) -> dict[str, Any]:
        own = {"widths": list(self.widths), "layers": list(self.layers), "bias": self.bias, "dropout": self.dropout}
        return super().args() | own | {"always_expand": self.always_expand}

    def input_forms(self) -> list[str]:
        return image_forms(1 + sum(STRIDED))

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"layer{i}", (*CANDIDATES, SKIP)) for i in range(1, sum(self.layers) + 1)])

    def network(self, choose: Chooser) -> nn.Module:
        stem, *widths, last = self.widths
        strides = strides_of(self.input_shape, (True, *STRIDED))
        unit = partial(conv_unit, activation=nn.ReLU)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = unit(self.input_shape[0], stem, 3, stride=strides[0])
        width, number = stem, 1
        for n_out, n_layers, stride in zip(widths, self.layers, strides[1:], strict=True):
            for i in range(n_layers):
                candidates = self._candidates(width, n_out, stride if i == 0 else 1)
                stages[f"layer{number}"] = choose.op(f"layer{number}", candidates)
                width, number = n_out, number + 1
        head = [unit(width, last, 1), GlobalAvgPool2d(), nn.Dropout(self.dropout), nn.Linear(last, self.n_classes)]
        stages["head"] = nn.Sequential(*head)
        network = nn.Sequential(stages)
        draw_fan_out(network)
        return network

    def _candidates(self, n_in: int, n_out: int, stride: int) -> Mapping[str, Any]:
        found: dict[str, Any] = {
            key: partial(self._block, n_in, n_out, stride, **form) for key, form in CANDIDATES.items()
        }
        return found | {SKIP: partial(self._skip, n_in, n_out, stride)}

    def _block(self, n_in: int, n_out: int, stride: int, *, kernel: int, expand: int, groups: int = 1) -> nn.Module:
        main = inverted_bottleneck(
            n_in,
            n_out,
            kernel=kernel,
            expand=None if expand == 1 and not self.always_expand else expand,
            stride=stride,
            activation=nn.ReLU,
            groups=groups,
            bias=self.bias,
        )
        return Residual(main, nn.Identity() if stride == 1 and n_in == n_out else None)

    def _skip(self, n_in: int, n_out: int, stride: int) -> nn.Module:
        if stride == 1 and n_in == n_out:
            return nn.Identity()
        return conv_unit(n_in, n_out, 1, stride=stride, bias=self.bias, activation=nn.ReLU)


def check_even(widths: Sequence[int]) -> None:
    """Refuse odd widths, except for the last one: grouped convolutions split every other width in two.

    Raises:
        InvalidValueError: If one is odd.
    """
    for i, width in enumerate(widths[:-1]):
        if width % 2:
            raise InvalidValueError(f"widths[{i}] is {width}; it must be even, because some candidates have two groups")
