"""Every exception archwright raises on purpose.

    ArchwrightError                      exit code 1: something failed after the start
    ├── RunError        (RuntimeError)   a run that started could not go on
    │   ├── ExportError                      a network that a file format cannot express
    │   └── DivergedError                    a training whose loss became infinite or not a number
    └── UsageError                       exit code 2: the user can correct it before starting
        ├── UnknownNameError (LookupError)   a name that does not exist
        ├── InvalidValueError (ValueError)   an argument or config value out of its range
        ├── InvalidArchError (ValueError)    chosen values that are no member of the space
        ├── SpaceError      (TypeError)      a space whose definition contradicts itself
        ├── InfeasibleError (ValueError)     limits that no architecture meets
        ├── DataError       (ValueError)     a dataset that cannot be used
        ├── RunFolderError  (OSError)        a folder that is non-empty, locked, foreign or corrupt
        └── MissingExtraError (ImportError)  an optional dependency that is not installed

A message is one line: what was wrong, what was received, what is accepted, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

N_OFFERED = 20
"""How many names an error message lists at most."""


def error_text(error: BaseException) -> str:
    r"""An exception in one line: its class and what it says.

    >>> error_text(ValueError("no\n  number"))
    'ValueError: no number'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


class ArchwrightError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class RunError(ArchwrightError, RuntimeError):
    """A run that started could not go on."""


class ExportError(RunError):
    """A network that a file format cannot express; the run goes on without that file."""


class DivergedError(RunError):
    """A training whose loss became infinite or not a number."""


class UsageError(ArchwrightError):
    """Something the user can correct before anything starts."""

    exit_code = 2


class UnknownNameError(UsageError, LookupError):
    """A name that does not exist; the message offers the nearest known ones.

    Args:
        kind: What the name should have named, e.g. "space"; begins the message.
        name: The name that was received.
        known: Every accepted name, in any order.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif names:
            more = f", … ({len(names)} in all)" if len(names) > N_OFFERED else ""
            hint = f"choose one of {', '.join(names[:N_OFFERED])}{more}"
        else:
            hint = "none is known here"
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.kind, self.name, self.known = kind, name, names


class InvalidValueError(UsageError, ValueError):
    """An argument or config value out of its range."""


class InvalidArchError(UsageError, ValueError):
    """Chosen values that are no member of the space."""


class SpaceError(UsageError, TypeError):
    """A space whose definition contradicts itself or cannot be built."""


class InfeasibleError(UsageError, ValueError):
    """Limits that no architecture of the space meets.

    Args:
        message: What is told of one space.
        short: The same in a table of several; the message by default.
    """

    def __init__(self, message: str, short: str = "") -> None:
        super().__init__(message)
        self.short = short or message


class DataError(UsageError, ValueError):
    """A dataset that is missing or cannot be used."""


class RunFolderError(UsageError, OSError):
    """A run's folder that is non-empty, locked, foreign or corrupt."""


class MissingExtraError(UsageError, ImportError):
    """An optional dependency that is not installed; the message names the extra."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency; run: pip install 'archwright[{extra}]'")
