"""ENAS's own notation of an arch: whole numbers in the order in which the released code stores them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from archwright.core.errors import InvalidArchError
from archwright.core.text import beginning


def grouped(numbers: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Consecutive numbers in groups of the given sizes.

    >>> grouped([5, 1, 0, 2], [1, 3])
    [[5], [1, 0, 2]]
    """
    found, start = [], 0
    for size in sizes:
        found.append(list(numbers[start : start + size]))
        start += size
    return found


def group_texts(numbers: Sequence[int], sizes: Sequence[int]) -> list[str]:
    """The digits of each group as one word.

    >>> group_texts([5, 1, 0, 2], [1, 3])
    ['5', '102']
    """
    return ["".join(map(str, group)) for group in grouped(numbers, sizes)]


def read_digits(text: str, places: Sequence[str], sizes: Sequence[int]) -> list[int]:
    """The digits in a text, separated by blanks as in the released scripts, or written in groups.

    >>> read_digits("3 1 0 1", ["layer 0", "layer 1"], [1, 3]), read_digits("3,101", ["layer 0", "layer 1"], [1, 3])
    ([3, 1, 0, 1], [3, 1, 0, 1])

    Args:
        text: Digits; `,` or `/` separates groups, blanks have no meaning.
        places: Name of each group, for messages.
        sizes: Number of digits in each group.

    Raises:
        InvalidArchError: If there is anything else, or a group is too short or long; the message has the group.
    """
    bare = re.sub(r"\s+", "", text)
    strange = re.search(r"[^0-9,/]", bare)
    if strange or not bare:
        raise InvalidArchError(f"code {beginning(text)!r} is not one of digits, with groups parted by ',' or '/'")
    groups = re.split("[,/]", bare)
    if len(groups) == 1:
        if len(bare) != sum(sizes):
            raise InvalidArchError(f"code {beginning(text)!r} has {len(bare)} numbers; give {sum(sizes)}")
        return [int(digit) for digit in bare]
    if len(groups) != len(sizes):
        raise InvalidArchError(
            f"code {beginning(text)!r} has {len(groups)} groups; give {len(sizes)}, {places[0]} to {places[-1]}"
        )
    for place, group, size in zip(places, groups, sizes, strict=True):
        if len(group) != size:
            raise InvalidArchError(f"{place} has {len(group)} numbers, {group!r}; give {size}")
    return [int(digit) for digit in "".join(groups)]


def check_count(numbers: Sequence[int], n: int) -> None:
    """Refuse too few or too many numbers.

    Raises:
        InvalidArchError: If there are not n numbers; the message has both counts.
    """
    if len(numbers) != n:
        raise InvalidArchError(f"there are {len(numbers)} numbers; an arch of this space has {n}")


def check_below(what: str, number: int, n: int) -> int:
    """The number, after checking that it is one of 0 to n - 1.

    Args:
        what: What the error message calls the number.
        number: The number to check.
        n: Smallest number that is too large.

    Raises:
        InvalidArchError: If it is out of range; the message has `what` and the number.
    """
    if not 0 <= number < n:
        raise InvalidArchError(f"{what} is {number}; give 0 to {n - 1}")
    return number
