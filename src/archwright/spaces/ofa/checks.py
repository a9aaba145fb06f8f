"""What the arguments of the once-for-all spaces must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from archwright.core.errors import InvalidValueError

MAX_FACTOR = 1000.0


def check_factor(name: str, value: float) -> float:
    """A factor of widths.

    Raises:
        InvalidValueError: If it is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 < value <= MAX_FACTOR:
        raise InvalidValueError(f"{name} is {value!r}; give a factor above 0, such as 1.2")
    return float(value)


def check_numbers(
    name: str,
    given: Sequence[int],
    accepts: Callable[[int], bool] = lambda number: True,
    what: str = "whole numbers from 1 up",
) -> tuple[int, ...]:
    """The values of a decision, ascending.

    Args:
        name: Of the argument, for the message.
        given: The values.
        accepts: Whether a number from 1 up will do.
        what: Which will.

    Raises:
        InvalidValueError: If they are no such numbers, or one stands twice; names the position.
    """
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InvalidValueError(f"{name} is {given!r}; give a list of {what}, at least one")
    for i, number in enumerate(given):
        if type(number) is not int or number < 1 or not accepts(number):
            raise InvalidValueError(f"{name}[{i}] is {number!r}; give {what}")
    if len(set(given)) < len(given):
        raise InvalidValueError(f"{name} is {list(given)}; name each number once")
    return tuple(sorted(given))
