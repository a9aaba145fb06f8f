"""Checks of the arguments of the once-for-all spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from archwright.core.errors import InvalidValueError

MAX_FACTOR = 1000.0

N = TypeVar("N", int, float)


def check_factor(name: str, value: float) -> float:
    """The factor, such as one of widths, after checking it; `name` names it in the error.

    Raises:
        InvalidValueError: If it is no number above 0 or too large.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= MAX_FACTOR:
        raise InvalidValueError(f"{name} is {value!r}; give a factor above 0, such as 0.8")
    return float(value)


def check_factors(name: str, given: Sequence[float]) -> tuple[float, ...]:
    """Several factors, ascending, after checking them; `name` names them in the error.

    Raises:
        InvalidValueError: If one is no factor or is given twice; the message has the position.
    """
    _check_list(name, given, "factors")
    found = [check_factor(f"{name}[{i}]", factor) for i, factor in enumerate(given)]
    return _each_once(name, found)


def check_numbers(name: str, given: Sequence[int], *, least: int = 1, odd: bool = False) -> tuple[int, ...]:
    """The values of a decision, ascending, after checking them.

    Args:
        name: Name of the argument, for the message.
        given: The values.
        least: Smallest accepted value.
        odd: Whether they must be odd.

    Raises:
        InvalidValueError: If one is no such number or is given twice; the message has the position.
    """
    what = f"{'odd ' if odd else ''}whole numbers from {least} up"
    _check_list(name, given, what)
    for i, number in enumerate(given):
        if type(number) is not int or number < least or (odd and number % 2 == 0):
            raise InvalidValueError(f"{name}[{i}] is {number!r}; give {what}")
    return _each_once(name, given)


def _check_list(name: str, given: object, what: str) -> None:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InvalidValueError(f"{name} is {given!r}; give a list of {what}, at least one")


def _each_once(name: str, given: Sequence[N]) -> tuple[N, ...]:
    if len(set(given)) < len(given):
        raise InvalidValueError(f"{name} is {list(given)}; name each number once")
    return tuple(sorted(given))
