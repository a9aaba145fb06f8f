"""A trial as one database row, and back, to the bit."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.core.trial import Candidate, Trial

COLUMNS = (
    "number",
    "arch",
    "key",
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
_strict = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def to_row(trial: Trial) -> Row:
    """The trial's values in the order of `COLUMNS`; the last is a checksum of those before it.

    Raises:
        InvalidValueError: If a value has no place in a row, such as a seed of 2**63 or an object in the arch.
    """
    asked = trial.candidate
    try:
        values = (
            _integer(asked.number),
            _strict(asked.arch.to_json()),
            _text(asked.arch.key),
            _integer(asked.seed),
            None if asked.budget is None else _integer(asked.budget),
            None if asked.parent is None else _integer(asked.parent),
            _text(asked.origin),
            trial.status,
            _figures_to_text(trial.metrics),
            _figures_to_text(trial.costs),
            _finite_or_none(float(trial.duration_s)),
            _text(trial.failure),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError(f"trial {asked.number!r} cannot be stored: {error}") from error
    return (*values, checksum(values))


def from_row(row: Sequence[Any]) -> Trial:
    """The trial whose `to_row` is this row.

    Raises:
        ValueError: If the row is not what `to_row` wrote.
    """
    *values, stored = row
    if checksum(tuple(values)) != stored:
        raise ValueError("its checksum does not match")
    number, arch, _, seed, budget, parent, origin, status, metrics, costs, duration_s, failure = values
    try:
        chosen = Arch.from_json(json.loads(arch))
    except InvalidArchError as error:
        raise ValueError(str(error)) from error
    candidate = Candidate(number, chosen, seed, budget=budget, parent=parent, origin=origin)
    duration = math.nan if duration_s is None else duration_s
    state = cast(Literal["complete", "failed"], status)
    return Trial(candidate, state, _figures_from_text(metrics), _figures_from_text(costs), duration, failure)


def checksum(values: tuple[Any, ...]) -> int:
    """A number that changes with any bit of the values; a database's own pages carry none."""
    return zlib.crc32(repr(values).encode("utf-8", "backslashreplace"))


def _figures_to_text(figures: Mapping[str, float]) -> str:
    """Figures as strict JSON, which has no infinities: those and not-a-number become their Python names as text."""
    try:
        return _strict(dict(figures))
    except (TypeError, ValueError):  # a float that is not finite, or a numpy scalar
        return _strict({_name(name): _figure(value) for name, value in figures.items()})


def _figures_from_text(text: str) -> dict[str, float]:
    return {name: float(value) if isinstance(value, str) else value for name, value in json.loads(text).items()}


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
    number = int(value)
    if not -_LIMIT <= number < _LIMIT:
        raise OverflowError(f"{number} has more than 63 bits")
    return number


def _finite_or_none(value: float) -> float | None:
    # A database column has no not-a-number: SQLite turns it into NULL, which then stands for it.
    return None if math.isnan(value) else value


def _text(text: str) -> str:
    """Text any database takes: half surrogate pairs and NUL, as file names may hold them, are written as escapes."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
