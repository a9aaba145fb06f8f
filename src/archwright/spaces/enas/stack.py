"""How ENAS stacks its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIN_SIDE = 4
"""Of an image, in pixels."""


@dataclass(frozen=True)
class Position:
    """One cell of the stack, or the halving before a reduction cell of the search network.

    Attributes:
        kind: "normal", "reduction" or "halving".
        channels: F, of its states.
        stride: 2 where it halves the image.
        depth: Share of the network's cells up to this one; 0 for a halving.
    """

    kind: str
    channels: int
    stride: int
    depth: float


@dataclass(frozen=True)
class Result:
    """What the stem or a position of the stack gives.

    Attributes:
        kind: Of the position; "stem" for the first one.
        channels: Of one state.
        sides: Height and width.
    """

    kind: str
    channels: int
    sides: tuple[int, int]


def stack(cells: int, channels: int, strides: Sequence[int], *, halves_before: bool) -> list[Position]:
    """The cells in order: `cells` normal ones and two reductions, which double the width.

    Args:
        cells: L.
        channels: F of the first cells.
        strides: Of both reductions.
        halves_before: Whether the image is halved by a layer of its own before a reduction cell.
    """
    third = cells // 3
    places = {third: strides[0], 2 * third + 1: strides[1]}
    found: list[Position] = []
    for i in range(cells + 2):
        depth = (i + 1) / (cells + 2)
        if i not in places:
            found.append(Position("normal", channels, 1, depth))
            continue
        channels *= 2
        if halves_before:
            found.append(Position("halving", channels, places[i], 0.0))
        found.append(Position("reduction", channels, 1 if halves_before else places[i], depth))
    return found


def results(positions: Sequence[Position], stem_channels: int, sides: tuple[int, int]) -> list[Result]:
    """What the stem and each position give."""
    found = [Result("stem", stem_channels, sides)]
    for position in positions:
        height, width = (-(-side // position.stride) for side in found[-1].sides)
        found.append(Result(position.kind, position.channels, (height, width)))
    return found
