"""Checks of a space's constructor arguments; `nn.dropout.check_rate` checks dropout rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from archwright.core.errors import InvalidValueError


def whole_number(what: str, value: Any, most: int, *, least: int = 1) -> int:
    """The number, after checking that it is a whole number from `least` to `most`; text and truth values are refused.

    Args:
        what: What the error message calls the number.
        value: The value to check.
        most: Largest accepted number.
        least: Smallest accepted number.

    Raises:
        InvalidValueError: If it is no such number; the message has `what` and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise InvalidValueError(f"{what} is {value!r}; give a whole number, {least} to {most:,}")
    return int(value)


def whole_number_or_none(what: str, value: Any, most: int, *, least: int = 1) -> int | None:
    """Check a number as `whole_number` does, but accept None, which stands for a default that the caller computes.

    Args:
        what: What the error message calls the number.
        value: The value to check.
        most: Largest accepted number.
        least: Smallest accepted number.

    Raises:
        InvalidValueError: If it is neither None nor such a number.
    """
    return None if value is None else whole_number(what, value, most, least=least)


def loss_weight(what: str, value: Any) -> float:
    """The weight of a loss, after checking it; `what` names it in the error.

    Raises:
        InvalidValueError: If it is negative, infinite or no number; the message has `what` and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidValueError(f"{what} is {value!r}; give a number, 0 or more")
    return float(value)


def check_image(space: str, shape: Sequence[int], smallest: int, where: str = "") -> None:
    """Refuse an input shape that is no image, or an image with too few pixels a side.

    Args:
        space: Name of the space, for the message.
        shape: Shape of one input without the batch, (channels, height, width).
        smallest: Fewest pixels a side.
        where: Text added to the message, such as " in its form cifar".

    Raises:
        InvalidValueError: If the shape is refused; the message has the space's name and the shape.
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
    """The value, after checking that it is True or False; 0, 1 and the like are refused.

    Raises:
        InvalidValueError: If it is neither; the message has `what` and the value.
    """
    if not isinstance(value, bool | np.bool_):
        raise InvalidValueError(f"{what} is {value!r}; give true or false")
    return bool(value)
