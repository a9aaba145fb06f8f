"""How NASNet cells are stacked for small images and for photographs, and where the image is halved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FormName = Literal["cifar", "imagenet"]
MIN_FINAL_SIDE = 4
IMAGENET_FROM = 64
"""Images with at least this many pixels a side get the form "imagenet" unless a form is given."""


@dataclass(frozen=True)
class Position:
    """One cell of the stack.

    Attributes:
        kind: "normal" or "reduction".
        channels: Width F of each of its states.
        stride: 2 if it halves the image, else 1.
        previous: Number of the earlier result that it reads; the stem's is 0, that of cell i is i + 1.
        is_stem: Whether it belongs to the stem.
    """

    kind: str
    channels: int
    stride: int
    previous: int
    is_stem: bool = False


def stack(cells: int, channels: int, strides: list[int], *, skip_reduction_input: bool = False) -> list[Position]:
    """The cells of a network in order.

    With four strides the first two belong to the stem's reduction cells, at a quarter and half of the width.

    Args:
        cells: Number N of normal cells in each stage.
        channels: Width F of the first stage.
        strides: Stride of each reduction cell, 1 or 2.
        skip_reduction_input: Whether the first normal cell after a reduction reads the result before the reduction's
            input instead of that input ("skip_reduction_layer_input" of the released code).
    """
    found: list[Position] = []
    for i, stride in enumerate(strides[:-2]):
        width = channels * 2**i // 2 ** (len(strides) - 2)
        found.append(Position("reduction", width, stride, max(0, len(found) - 1), is_stem=True))
    for stage, stride in enumerate((1, *strides[-2:])):
        width = channels * 2**stage
        before = max(0, len(found) - 1)
        if stage:
            found.append(Position("reduction", width, stride, before))
        for i in range(cells):
            skips = stage > 0 and i == 0 and skip_reduction_input
            found.append(Position("normal", width, 1, before if skips else max(0, len(found) - 1)))
    return found


def strides_of(side: int, form: FormName) -> tuple[int, list[int]]:
    """Stride of the stem's convolution and of each reduction cell, for the shorter side in pixels.

    As many strides are 2 as leave a final map of at least 4 x 4; the first ones become 1 first. The stem's convolution
    at stride 2 has no padding.

    >>> strides_of(224, "imagenet"), strides_of(32, "cifar"), strides_of(8, "cifar")
    ((2, [2, 2, 2, 2]), (1, [2, 2]), (1, [1, 2]))
    """
    n_places = 2 if form == "cifar" else 4
    behind_stem = (side - 1) // 2
    if form == "imagenet" and final_side(behind_stem, n_places) >= MIN_FINAL_SIDE:
        return 2, [2] * n_places
    n_halvings = max(n for n in range(n_places + 1) if n == 0 or final_side(side, n) >= MIN_FINAL_SIDE)
    return 1, [1] * (n_places - n_halvings) + [2] * n_halvings


def final_side(side: int, n_halvings: int) -> int:
    """A side in pixels after some halvings, each rounded up."""
    for _ in range(n_halvings):
        side = -(-side // 2)
    return side


def levels(positions: list[Position]) -> Iterator[int]:
    """For each result, the stem's first: how often the image was halved up to it."""
    level = 0
    yield level
    for position in positions:
        level += position.stride == 2
        yield level
