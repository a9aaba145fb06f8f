"""The base of all contracts, and helpers for their tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Self

from torch import Tensor


class Contract:
    """A class of tests to inherit; the test class of a member writes `make`."""

    @classmethod
    def inheritors(cls) -> list[type[Self]]:
        """Every imported class that inherits this contract, directly or through others."""
        return [found for child in cls.__subclasses__() for found in (child, *child.inheritors())]


def to_do(contract: Contract, method: str) -> NoReturn:
    """Raise the error for a method that the member's test class has to write, but did not."""
    raise NotImplementedError(f"{type(contract).__name__} inherits a contract and has to define {method}")


def skip(reason: str) -> NoReturn:
    """Skip a test that does not apply to the member."""
    import pytest  # installed where tests run; importing a contract does not need it

    pytest.skip(reason)


def error_of(kind: type[Exception], act: Callable[[], object]) -> str:
    """The message of the error of this kind that `act` has to raise; it must be one line."""
    try:
        act()
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(f"nothing was refused; {kind.__name__} was expected")
    assert "\n" not in message, f"an error is one line, not {message!r}"
    return message


def is_equal(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether logits differ by at most tolerance x max(1, max|logit|).

    Args:
        one: Logits, of any shape; their largest value sets the scale.
        other: Logits of the same shape.
        tolerance: Largest accepted relative difference.
    """
    return bool((one - other).abs().max() <= tolerance * max(1.0, float(one.abs().max())))
