"""The block and channel search space of Single Path One-Shot (Guo et al., ECCV 2020, arXiv:1904.00420)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.sizes import Size
from archwright.spaces.spos.blocks import CANDIDATES, FORMS, FormName, SposSpace

SCALES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
_DIGITS = "0123456789"
MAX_SCALES = len(_DIGITS)
"""Most scales; each is one digit in a code."""

LARGEST = 16.0


@listed(
    "space",
    "spos-block-channel",
    summary="the chain of spos, each block one of four at one of eight widths",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class SposChannels(SposSpace):
    """20 blocks x 4 candidates x 8 widths at 224 x 224 (32^20 archs), and a small-image form of 10 blocks (32^10).

    Besides the kind of a block, the number of channels in its middle is searched: a scale times half of its output
    channels, which are fixed. In a supernet a candidate holds the weights of its widest form and runs on the first
    channels.

    A code lists the positions of the blocks, then those of the scales, as the released code does: two times 20 digits,
    joined by a dot.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        form: "imagenet" or "small"; by default "small" below 64 pixels.
        affine: Whether batch norms scale and shift; those of the paper's supernet do not.
        dropout: Dropout rate before the classifier.
        scales: Scales to choose from, 1 to 10 increasing factors up to 16; by default those of the released code.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        form: FormName | None = None,
        affine: bool = True,
        dropout: float = 0.1,
        scales: Sequence[float] = SCALES,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes, form=form, affine=affine, dropout=dropout)
        narrowest = min(channels for channels, _ in FORMS[self.form].stages) // 2
        self.scales = check_scales(scales, narrowest)

    def args(self) -> dict[str, Any]:
        return super().args() | {"scales": list(self.scales)}

    def declare(self) -> DecisionSpace:
        n_blocks = sum(n for _, n in FORMS[self.form].stages)
        pairs = (
            (Decision(f"block{i}", tuple(CANDIDATES)), Decision(f"scale{i}", self.scales, "number"))
            for i in range(n_blocks)
        )
        return DecisionSpace(list(itertools.chain.from_iterable(pairs)))

    def middle(self, choose: Chooser, i: int, n_out: int) -> Size:
        scale = choose.number(f"scale{i}", self.scales)
        # rounded down after a floating-point product, as the released code does it
        channels: Size = choose.map(lambda factor: int(n_out // 2 * factor), scale)
        return channels

    # ── names of members ──────────────────────────────────────────────────────────────────────────

    def code(self, arch: Mapping[str, Value]) -> str:
        """The blocks, then the scales, like "0123….7654…"."""
        digits = "".join(map(str, self.row(arch).tolist()))
        return f"{digits[0::2]}.{digits[1::2]}"

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space.
        """
        n = len(self.decisions) // 2
        blocks, _, scales = code.partition(".")
        if (len(blocks), len(scales)) != (n, n):
            raise InvalidArchError(
                f"code {code!r} has {len(blocks)} blocks and {len(scales)} scales; "
                f"space {self.name!r} takes {n} digits, a dot and {n} digits"
            )
        values = {}
        for kind, digits in (("block", blocks), ("scale", scales)):
            for i, digit in enumerate(digits):
                decision = self.decisions[f"{kind}{i}"]
                if digit not in _DIGITS[: len(decision.values)]:
                    raise InvalidArchError(
                        f"code {code!r} has {digit!r} for decision {decision.name!r}; "
                        f"use 0 to {len(decision.values) - 1}"
                    )
                values[decision.name] = decision.values[int(digit)]
        return Arch(values)


def check_scales(scales: Any, narrowest: int) -> tuple[float, ...]:
    """The scales, after checking that they increase and leave at least one of `narrowest` channels.

    Raises:
        InvalidValueError: If they do not; the message has the position.
    """
    if isinstance(scales, str) or not isinstance(scales, Sequence) or not 1 <= len(scales) <= MAX_SCALES:
        raise InvalidValueError(f"scales is {scales!r}; give a list of 1 to {MAX_SCALES} rising factors")
    before = 0.0
    for i, scale in enumerate(scales):
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not before < scale <= LARGEST:
            raise InvalidValueError(f"scales[{i}] is {scale!r}; give a number above {before:g}, at most {LARGEST:g}")
        if int(narrowest * scale) < 1:
            raise InvalidValueError(
                f"scales[{i}] is {scale!r}, which leaves none of the {narrowest} channels of the narrowest block; "
                f"give at least {1 / narrowest:g}"
            )
        before = scale
    return tuple(map(float, scales))
