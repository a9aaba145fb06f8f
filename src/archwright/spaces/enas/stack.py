"""How ENAS stacks its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIN_SIDE = 4
"""Smallest accepted side of an image in pixels."""


@dataclass(frozen=True)
class Position:
    """One cell of the stack, or the halving before a reduction cell of the search network.

    Attributes:
        kind: "normal", "reduction" or "halving".
        channels: Channels F of its states.
        stride: 2 if it halves the image, else 1.
        depth: Share of the network's cells up to this one, in (0, 1]; 0 for a halving.
    """

    kind: str
    channels: int
    stride: int
    depth: float


@dataclass(frozen=True)
class Result:
    """The shape of the output of the stem or of a position of the stack.

    Attributes:
        kind: Kind of the position; "stem" for the first one.
        channels: Channels of one state.
        sides: Height and width in pixels.
    """

    kind: str
    channels: int
    sides: tuple[int, int]


def stack(cells: int, channels: int, strides: Sequence[int], *, halves_before: bool) -> list[Position]:
    """The cells in order: `cells` normal ones and two reductions, which double the width.

    Args:
        cells: Number of normal cells, L.
        channels: Channels F of the first cells.
        strides: Strides of the two reductions, 1 or 2 each.
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
    """The results of the stem and of each position, in order.

    Args:
        positions: The positions of the stack.
        stem_channels: Output channels of the stem.
        sides: Height and width of the stem's output in pixels.
    """
    found = [Result("stem", stem_channels, sides)]
    for position in positions:
        height, width = (-(-side // position.stride) for side in found[-1].sides)
        found.append(Result(position.kind, position.channels, (height, width)))
    return found
