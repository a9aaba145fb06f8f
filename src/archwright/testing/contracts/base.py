"""What the contracts share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Self

from torch import Tensor


class Contract:
    """A class of tests that others inherit; a member's test class fills in `make`."""

    @classmethod
    def inheritors(cls) -> list[type[Self]]:
        """Every class that inherits this contract, through others too, once it is imported."""
        return [found for child in cls.__subclasses__() for found in (child, *child.inheritors())]


def to_do(contract: Contract, method: str) -> NoReturn:
    """What a contract's method says that the member's test has to write."""
    raise NotImplementedError(f"{type(contract).__name__} inherits a contract and has to define {method}")


def skip(reason: str) -> NoReturn:
    """End a test that does not apply to the member."""
    import pytest  # installed where tests run; importing a contract does not need it

    pytest.skip(reason)


def error_of(kind: type[Exception], act: Callable[[], object]) -> str:
    """The one line of the error that `act` must raise."""
    try:
        act()
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(f"nothing was refused; {kind.__name__} was expected")
    assert "\n" not in message, f"an error is one line, not {message!r}"
    return message


def is_equal(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether logits differ by no more than the promise: tolerance x max(1, max|logit|)."""
    return bool((one - other).abs().max() <= tolerance * max(1.0, float(one.abs().max())))
