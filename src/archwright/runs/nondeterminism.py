"""Operations without a deterministic form: what torch warns of while a run computes, and what that means for it.

Where deterministic algorithms are on (`training.device.make_deterministic`), torch warns of each operation that
has none. `listen` takes such a warning for what it is: the run that is open enters the operation in its run.json, and
its result no longer promises the same bits for the same seed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

_WORDS = (
    r"(.+?) (?:does not have a deterministic implementation|defaults to a non-deterministic algorithm)"
    r"|.*this operation is not deterministic because it uses (\w+)"
)
_WARNING = re.compile(_WORDS, re.DOTALL)

_listeners: list[Callable[[str], None]] = []


def operation_of(warning: str) -> str | None:
    """The operation a warning of torch says is not deterministic; None of a warning of anything else.

    >>> operation_of("put_ does not have a deterministic implementation, but you set …")
    'put_'
    """
    found = _WARNING.match(warning)
    return None if found is None else found[1] or found[2]


def listen() -> None:
    """From now on, note what torch warns of in this process, and show such warnings no more; twice is fine."""
    before: Any = warnings.showwarning
    if isinstance(before, _Listener):
        return
    # every one, and not the first alone: several runs of a process may meet the same operation
    warnings.filterwarnings("always", message=f"(?s:{_WORDS})")
    warnings.showwarning = _Listener(before)


class _Listener:
    """In the place of `warnings.showwarning`; other warnings go on to where they went before."""

    def __init__(self, others: Callable[..., None]) -> None:
        self._others = others

    def __call__(self, message: Warning | str, *where: Any, **more: Any) -> None:
        operation = operation_of(str(message))
        if operation is None:
            self._others(message, *where, **more)
        else:
            note(operation)


def note(operation: str) -> None:
    """Tell every subscriber of an operation, such as one that a worker process met."""
    for listener in tuple(_listeners):
        listener(operation)


def subscribe(listener: Callable[[str], None]) -> Callable[[], None]:
    """Call `listener` with each operation that is noted from now on; call the returned function to stop."""
    _listeners.append(listener)

    def end() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return end


def withdrawal(operations: Sequence[str]) -> str:
    """What these operations mean for a result, in words; empty where there are none.

    >>> withdrawal(["put_"])
    'the same seed may give other bits: put_ has no deterministic form here'
    """
    if not operations:
        return ""
    verb = "has" if len(operations) == 1 else "have"
    return f"the same seed may give other bits: {', '.join(operations)} {verb} no deterministic form here"
