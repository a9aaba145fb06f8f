"""Shared by the spaces of mobile blocks: image sizes, strides, widths, checks of arguments."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from archwright.core.errors import InvalidValueError

MIN_SIDE = 4
"""Smallest side in pixels of an image, and of the map before the pooling of any larger image."""


def strides_of(input_shape: Sequence[int], is_strided: Sequence[bool]) -> list[int]:
    """The stride at each place of a chain, the stem first, for an image (C, H, W).

    As many of the strides are kept as leave a map of at least 4 x 4 pixels; the stem's is dropped first, then those
    of the last stages.

    >>> strides_of((3, 224, 224), (True, True, True, False, True))
    [2, 2, 2, 1, 2]
    >>> strides_of((1, 16, 16), (True, True, True, False, True))
    [1, 2, 2, 1, 1]
    """
    side, n_halvings = min(input_shape[1:]), 0
    while (side := -(-side // 2)) >= MIN_SIDE:
        n_halvings += 1
    places = [i for i, strided in enumerate(is_strided) if strided]
    taken = places if n_halvings >= len(places) else places[1 : 1 + n_halvings]
    return [2 if i in taken else 1 for i in range(len(is_strided))]


def round_width(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and at most 10 % below `channels`.

    >>> [round_width(0.35 * c) for c in (32, 16, 24, 40, 80, 112, 160, 320)]
    [16, 8, 8, 16, 32, 40, 56, 112]
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def smallest_side(n_strides: int) -> int:
    """Side in pixels of the smallest image for which all `n_strides` strides are kept.

    >>> smallest_side(5)
    97
    """
    return next(
        side for side in itertools.count(1) if all(s == 2 for s in strides_of((1, side, side), [True] * n_strides))
    )


def image_forms(n_strides: int) -> list[str]:
    """The `Space.input_forms` of a chain with this many strides."""
    full = smallest_side(n_strides)
    return [
        f"{full} pixels a side and more: {n_strides} strides, as in the paper",
        f"{MIN_SIDE} to {full - 1} pixels: as many strides as leave a map of {MIN_SIDE}x{MIN_SIDE}",
    ]


def check_counts(name: str, given: Sequence[int], n: int, what: str) -> tuple[int, ...]:
    """The numbers as a tuple, after checking that they are n whole numbers from 1 up, such as the widths of a chain.

    Args:
        name: What the error message calls the list.
        given: The numbers to check.
        n: How many there must be.
        what: What they count, e.g. "channels", for the message.

    Raises:
        InvalidValueError: If they are not; the message has the position of a wrong number.
    """
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != n:
        raise InvalidValueError(f"{name} is {given!r}; give a list of {n} numbers of {what}")
    for i, count in enumerate(given):
        if type(count) is not int or count < 1:
            raise InvalidValueError(f"{name}[{i}] is {count!r}; give a whole number of {what} from 1 up")
    return tuple(given)
