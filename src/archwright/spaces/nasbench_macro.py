"""The space of NAS-Bench-Macro (Su et al., CVPR 2021, arXiv:2103.11922): eight layers of one of three blocks.

Every member was trained on CIFAR-10 by the benchmark's authors, three times. Figures and details are those of the
released code (xiusu/NAS-Bench-Macro).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from archwright.core.arch import Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.nn.choice import Chooser
from archwright.nn.ops.mbconv import conv_unit, inverted_bottleneck
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.residual import Residual
from archwright.spaces.arguments import check_image
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, strides_of

STAGES = (2, 3, 3)
"""Number of layers of each stage; the first layer of a stage halves the image and doubles the width."""

LAST = 1280
CANDIDATES: dict[str, dict[str, int] | None] = {
    "identity": None,
    "mb3_k3": {"expand": 3, "kernel": 3},
    "mb6_k5": {"expand": 6, "kernel": 5},
}


@listed(
    "space",
    "nasbench-macro",
    summary="NAS-Bench-Macro: eight layers, each identity or one of two MBConv; 6,561 members, all trained on CIFAR-10",
    source="Su et al., CVPR 2021, arXiv:2103.11922",
)
class NasBenchMacro(Space):
    """Eight layers of three candidates: 6,561 members.

    A code is the benchmark's, one digit for each layer: 0 is the identity, 1 MBConv with expansion 3 and kernel 3, 2
    MBConv with expansion 6 and kernel 5. An identity that halves the image is a 1x1 convolution with batch norm.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        width: Channels of the stem.
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None, width: int = 32
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("nasbench-macro", self.input_shape, MIN_SIDE)
        (self.width,) = check_counts("width", [width], 1, "channels")

    def args(self) -> dict[str, Any]:
        return super().args() | {"width": self.width}

    def input_forms(self) -> list[str]:
        return image_forms(len(STAGES))

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"layer{i}", tuple(CANDIDATES)) for i in range(sum(STAGES))])

    def network(self, choose: Chooser) -> nn.Module:
        strides = strides_of(self.input_shape, (False, *[True] * len(STAGES)))
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = _unit(self.input_shape[0], self.width, 3)
        n_in, i = self.width, 0
        for n_layers, stride in zip(STAGES, strides[1:], strict=True):
            n_out = 2 * n_in
            for step in (stride, *[1] * (n_layers - 1)):
                candidates = {key: partial(_layer, n_in, n_out, step, form) for key, form in CANDIDATES.items()}
                stages[f"layer{i}"] = choose.op(f"layer{i}", candidates)
                n_in, i = n_out, i + 1
        head = [_unit(n_in, LAST, 1), GlobalAvgPool2d(), nn.Linear(LAST, self.n_classes)]
        stages["head"] = nn.Sequential(*head)
        return nn.Sequential(stages)

    def equivalence_key(self, arch: Mapping[str, Value]) -> str:
        """A code equal for equivalent members: the identities after a stage's first layer move to the stage's end.

        The benchmark trained one member of each such class: 3,969 networks.
        """
        code, key, start = self.code(arch), "", 0
        for n_layers in STAGES:
            later = code[start + 1 : start + n_layers].replace("0", "")
            key += code[start] + later.ljust(n_layers - 1, "0")
            start += n_layers
        return key


def _layer(n_in: int, n_out: int, stride: int, form: Mapping[str, int] | None) -> nn.Module:
    keeps_shape = stride == 1 and n_in == n_out
    if form is None:
        return nn.Identity() if keeps_shape else conv_unit(n_in, n_out, 1, stride=stride, activation=None)
    main = inverted_bottleneck(
        n_in, n_out, kernel=form["kernel"], expand=form["expand"], stride=stride, activation=_relu
    )
    return Residual(main, nn.Identity() if keeps_shape else None)


def _unit(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    return conv_unit(n_in, n_out, kernel, activation=_relu)


_relu = partial(nn.ReLU, inplace=True)
