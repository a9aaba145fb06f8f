"""Checks of what a space is made with; rates of dropout are checked by `nn.dropout.check_rate`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from archwright.core.errors import InvalidValueError


def whole_number(what: str, value: Any, most: int, *, least: int = 1) -> int:
    """A number from `least` to `most`; text and truth values are none, as they would be a mistake in a file.

    Raises:
        InvalidValueError: Names what it is, with the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise InvalidValueError(f"{what} is {value!r}; give a whole number, {least} to {most:,}")
    return int(value)


def whole_number_or_none(what: str, value: Any, most: int, *, least: int = 1) -> int | None:
    """As `whole_number`; None stands for a default that depends on more than the argument."""
    return None if value is None else whole_number(what, value, most, least=least)


def loss_weight(what: str, value: Any) -> float:
    """The weight of a loss.

    Raises:
        InvalidValueError: If it is negative, infinite or no number; names what it is, with the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidValueError(f"{what} is {value!r}; give a number, 0 or more")
    return float(value)


def check_image(space: str, shape: Sequence[int], smallest: int, where: str = "") -> None:
    """Refuse a shape that is no image of at least so many pixels a side.

    Args:
        space: Its name, for the message.
        shape: Of one input without the batch.
        smallest: Pixels.
        where: Added to the message, such as " in its form cifar".

    Raises:
        InvalidValueError: Names the space and what it got.
    """
    if len(shape) != 3:
        raise InvalidValueError(
            f"space {space!r} takes images (channels, height, width), not the shape {tuple(shape)}; give three sides"
        )
    if min(shape[1:]) < smallest:
        raise InvalidValueError(
            f"space {space!r} takes images of at least {smallest} pixels a side{where}, not {min(shape[1:])}; "
            "give larger ones"
        )


def truth_value(what: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such.

    Raises:
        InvalidValueError: Names what it is, with the value.
    """
    if not isinstance(value, bool | np.bool_):
        raise InvalidValueError(f"{what} is {value!r}; give true or false")
    return bool(value)
