"""A trial as one database row, and back, to the bit."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import index
from typing import Any, Literal, cast

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.core.trial import Candidate, Trial

COLUMNS = (
    "study",
    "number",
    "arch",
    "seed",
    "budget",
    "parent",
    "origin",
    "status",
    "metrics",
    "costs",
    "duration_s",
    "failure",
    "checksum",
)
"""Names of a row's values, in order."""

Row = tuple[Any, ...]

_LIMIT = 2**63
_PLAIN = frozenset({str, int, float})
_STATES = ("complete", "failed")
_NONE = type(None)
_KINDS: tuple[tuple[type, ...], ...] = (
    *((str,), (int,), (str,), (int,), (int, _NONE), (int, _NONE), (str,), (str,), (str,), (str,)),
    *((int, float, _NONE), (str,)),
)
"""Types of the values before the checksum: a database's columns may hold any."""
_AS_JSON = "\x01json:"
"""Begins a text that is stored as JSON because databases do not take it as it is."""
_strict = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def to_row(trial: Trial, study: str) -> Row:
    """The trial's values in the order of `COLUMNS`; the last is a checksum of those before it.

    Raises:
        InvalidValueError: If a value has no place in a row, such as a seed of 2**63 or an object in the arch.
    """
    asked = trial.candidate
    try:
        values = (
            study,
            _integer(asked.number),
            _arch(asked.arch),
            _integer(asked.seed),
            None if asked.budget is None else _integer(asked.budget),
            None if asked.parent is None else _integer(asked.parent),
            _text_to_column(asked.origin),
            _state(trial.status),
            _figures_to_text(trial.metrics),
            _figures_to_text(trial.costs),
            _finite_or_none(float(trial.duration_s)),
            _text_to_column(trial.failure),
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidValueError(f"trial {asked.number!r} cannot be stored: {error}") from error
    return (*values, checksum(values))


def from_row(row: Sequence[Any]) -> Trial:
    """The trial in a row that `to_row` made.

    Raises:
        ValueError: If the row is not what `to_row` wrote.
    """
    *values, stored = row
    if checksum(tuple(values)) != stored:
        raise ValueError("its checksum does not match")
    _, number, arch, seed, budget, parent, origin, status, metrics, costs, duration_s, failure = values
    wrong = [name for name, kinds, value in zip(COLUMNS, _KINDS, values, strict=False) if not isinstance(value, kinds)]
    if wrong or status not in _STATES:
        raise ValueError(f"its {(wrong or ['status'])[0]} is of another kind")
    try:
        chosen = Arch.from_json(json.loads(arch))
    except (InvalidArchError, RecursionError) as error:
        raise ValueError(str(error)) from error
    candidate = Candidate(number, chosen, seed, budget=budget, parent=parent, origin=_text_from_column(origin))
    duration = math.nan if duration_s is None else duration_s
    state = cast(Literal["complete", "failed"], status)
    figures = _figures_from_text(metrics), _figures_from_text(costs)
    return Trial(candidate, state, *figures, duration, _text_from_column(failure))


def checksum(values: tuple[Any, ...]) -> int:
    """A number that changes with any bit of the values; a database's own pages carry none."""
    return zlib.crc32(repr(values).encode("utf-8", "backslashreplace"))


def _text_to_column(text: str) -> str:
    """Text any database takes: NUL and half surrogate pairs, as file names may hold them, go in as JSON."""
    if not isinstance(text, str):
        raise TypeError(f"a text is expected, not {text!r}")
    if _is_plain(text) and not text.startswith(_AS_JSON):
        return text
    return _AS_JSON + _strict(text)


def _text_from_column(text: str) -> str:
    return str(json.loads(text.removeprefix(_AS_JSON))) if text.startswith(_AS_JSON) else text


def _is_plain(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _arch(arch: Arch) -> str:
    document = arch.to_json()
    # What JSON takes but `Arch.from_json` does not would be a trial that can be written and never read.
    for name, value in document.items():
        if type(value) not in _PLAIN and not _is_readable(value):
            raise TypeError(f"decision {name!r} has the value {value!r}, which is no text, number or tuple of integers")
    return _strict(document)


def _is_readable(value: Any) -> bool:
    if isinstance(value, list):
        return all(type(item) is int for item in value)
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _state(status: str) -> str:
    if status not in _STATES:
        raise ValueError(f"its status is {status!r}, not one of {', '.join(_STATES)}")
    return status


def _figures_to_text(figures: Mapping[str, float]) -> str:
    """Figures as strict JSON, which has no infinities: those and not-a-number become their Python names as text."""
    # The common case, tried first: every figure is a finite number of Python's own.
    with suppress(ValueError):
        if all(type(name) is str and type(value) in (float, int) for name, value in figures.items()):
            return _strict(dict(figures))
    return _strict({_name(name): _figure(value) for name, value in figures.items()})


def _figures_from_text(text: str) -> dict[str, float]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("its figures are no mapping")
    return {name: float(value) if isinstance(value, str) else _checked_figure(value) for name, value in found.items()}


def _checked_figure(value: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"a figure is {value!r}")
    return value


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"the name of a figure is text, not {name!r}")


def _figure(value: Any) -> float | str:
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        raise TypeError(f"a figure is a number, not {value!r}")
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _integer(value: Any) -> int:
    number = index(value)
    if not -_LIMIT <= number < _LIMIT:
        raise OverflowError(f"{number} has more than 63 bits")
    return number


def _finite_or_none(value: float) -> float | None:
    # A database column has no not-a-number, SQLite turns it into NULL, which then stands for it; nor a negative zero.
    return None if math.isnan(value) else value + 0.0
