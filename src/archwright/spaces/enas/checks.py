"""Checks of the arguments that ENAS's spaces share."""

from __future__ import annotations

import math

from archwright.core.errors import InvalidValueError


def rate(name: str, value: object) -> float:
    """A rate in [0, 1).

    Raises:
        InvalidValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InvalidValueError(f"{name} is {value!r}; give a number from 0 up, less than 1")
    return float(value)


def loss_weight(name: str, value: object) -> float:
    """The weight of a loss.

    Raises:
        InvalidValueError: If it is negative or no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidValueError(f"{name} is {value!r}; give a number, 0 or more")
    return float(value)


def whole(name: str, value: object, least: int, most: int) -> int:
    """A whole number from `least` to `most`.

    Raises:
        InvalidValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValueError(f"{name} is {value!r}; give a whole number, {least} to {most:,}")
    return value
