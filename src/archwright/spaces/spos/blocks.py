"""The block search space of Single Path One-Shot (Guo et al., ECCV 2020, arXiv:1904.00420).

A ShuffleNetV2-like chain of blocks of fixed widths; every block is one of three shuffle blocks (depth-wise
kernel 3, 5 or 7) or an "xception" block. Figures are those of the released code.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from torch import nn

from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.shuffle import ShuffleBlock, conv_bn
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image, truth_value
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, strides_of

CANDIDATES: dict[str, dict[str, int]] = {
    "shuffle3": {"kernel": 3},
    "shuffle5": {"kernel": 5},
    "shuffle7": {"kernel": 7},
    "xception": {"kernel": 3, "separable_convs": 3},
}

FormName = Literal["imagenet", "small"]


@dataclass(frozen=True)
class Form:
    """Widths of the chain.

    Attributes:
        stem: Channels after the first convolution.
        stages: (channels, blocks) of each stage; channels are divisible by 4.
        last: Channels before pooling.
    """

    stem: int
    stages: tuple[tuple[int, int], ...]
    last: int


FORMS: dict[FormName, Form] = {
    "imagenet": Form(16, ((64, 4), (160, 4), (320, 8), (640, 4)), 1024),
    # half the blocks at about half the widths; powers of two, which run fastest
    "small": Form(16, ((32, 2), (64, 2), (128, 4), (256, 2)), 256),
}
SMALL_BELOW = 64


@listed(
    "space",
    "spos",
    summary="ShuffleNetV2 chain, each block one of four; 20 blocks at 224 pixels, 10 for small images",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class SposSpace(Space):
    """20 blocks x 4 candidates at 224 x 224 (4^20 archs), and a small-image form of 10 blocks (4^10).

    The input size decides how many of the five possible strides of 2 (stem, then each stage's first block) are
    kept: as many as leave a final map of at least 4 x 4. The stem's is dropped first, then those of the last
    stages: 224 pixels keep all five, 28 pixels those of stages 1 to 3.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        form: "imagenet" or "small"; by default "small" below 64 pixels.
        affine: Whether batch norms scale and shift; those of the paper's supernet do not.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 224, 224)
    n_classes = 1000

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        form: FormName | None = None,
        affine: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("spos", self.input_shape, MIN_SIDE)
        self.form: FormName = (
            ("small" if min(self.input_shape[1:]) < SMALL_BELOW else "imagenet") if form is None else form
        )
        if self.form not in get_args(FormName):
            raise InvalidValueError(f"form is {self.form!r}; choose one of {', '.join(get_args(FormName))}")
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise InvalidValueError(f"dropout is {dropout!r}; give a number from 0 to 1")
        self.affine = truth_value("affine", affine)
        self.dropout = float(dropout)

    def args(self) -> dict[str, Any]:
        return super().args() | {"form": self.form, "affine": self.affine, "dropout": self.dropout}

    def input_forms(self) -> list[str]:
        blocks = {name: sum(n for _, n in form.stages) for name, form in FORMS.items()}
        return [
            f"{SMALL_BELOW} pixels a side and more: form imagenet, {blocks['imagenet']} blocks",
            f"{MIN_SIDE} to {SMALL_BELOW - 1} pixels: form small, {blocks['small']} blocks",
        ]

    def search_form(self) -> SposSpace:
        """The network to search: without affine batch norms, like the paper's supernet."""
        return self.with_args(affine=False)

    def declare(self) -> DecisionSpace:
        n_blocks = sum(n for _, n in FORMS[self.form].stages)
        return DecisionSpace([Decision(f"block{i}", tuple(CANDIDATES)) for i in range(n_blocks)])

    def network(self, choose: Chooser) -> nn.Module:
        form = FORMS[self.form]
        strides = strides_of(self.input_shape, (True,) * (len(form.stages) + 1))
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = conv_bn(self.input_shape[0], form.stem, 3, stride=strides[0], affine=self.affine, std=0.01)
        width, i = form.stem, 0
        for (channels, n_blocks), first_stride in zip(form.stages, strides[1:], strict=True):
            for b in range(n_blocks):
                block = partial(self._block, choose, i, width, channels, first_stride if b == 0 else 1)
                stages[f"block{i}"] = choose.op(
                    f"block{i}", {key: partial(block, **kind) for key, kind in CANDIDATES.items()}
                )
                width, i = channels, i + 1
        classifier = nn.Linear(form.last, self.n_classes, bias=False)
        stages["head"] = nn.Sequential(
            conv_bn(width, form.last, affine=self.affine), GlobalAvgPool2d(), nn.Dropout(self.dropout), classifier
        )
        if not classifier.weight.is_meta:
            nn.init.normal_(classifier.weight, 0.0, 0.01)
        return nn.Sequential(stages)

    def _block(self, choose: Chooser, i: int, n_in: int, n_out: int, stride: int, **kind: int) -> nn.Module:
        return ShuffleBlock(
            n_in, n_out, stride=stride, middle=self.middle(choose, i, n_out), affine=self.affine, **kind
        )

    def middle(self, choose: Chooser, i: int, n_out: int) -> Size:
        """Channels in the middle of a block.

        Args:
            choose: The chooser, for subclasses that make the width a decision.
            i: Number of the block, from 0.
            n_out: Output channels of the block.
        """
        return n_out // 2
