"""Encodings: from rows of value indices to vectors of numbers that a predictor can read.

Rows have the shape (n, n_decisions) as in `DecisionSpace`: positions in each decision's values, -1 where a
decision is inactive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.arch import Value
from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InvalidValueError

Encoded = NDArray[np.float32]

_CHUNK = 4096
"""Rows handled at a time: one that stays in the processor's cache is several times faster than all at once."""


def one_hot(space: DecisionSpace, rows: NDArray[Any]) -> Encoded:
    """One number for each value of each decision, 1 where it is chosen; shape (n, sum of the value counts).

    The block of an inactive decision is all zeros.

    Raises:
        InvalidValueError: If `rows` is no integer array (n, n_decisions) of value indices or -1.
    """
    rows = _checked(space, rows)
    encoded = np.zeros((len(rows), int(space.n_values.sum())), dtype=np.float32)
    starts = _starts(space)
    for first in range(0, len(rows), _CHUNK):
        part = rows[first : first + _CHUNK]
        # an inactive decision writes 0 into the first place of its own block
        places = np.maximum(part, 0) + starts + encoded.shape[1] * np.arange(len(part))[:, None]
        encoded[first : first + _CHUNK].reshape(-1)[places] = part >= 0
    return encoded


def from_one_hot(space: DecisionSpace, encoded: NDArray[Any]) -> Rows:
    """The rows (n, n_decisions) that `one_hot` encoded; an all-zero block is an inactive decision.

    Raises:
        InvalidValueError: If the shape does not fit, or a decision's block is neither all zeros nor one 1 among zeros.
    """
    encoded = np.asarray(encoded)
    width = int(space.n_values.sum())
    if encoded.ndim != 2 or encoded.shape[1] != width:
        raise InvalidValueError(f"one-hot archs have the shape {encoded.shape}; this space needs (n, {width})")
    rows = np.empty((len(encoded), len(space)), dtype=np.int16)
    starts = _starts(space)
    position = np.arange(width) - np.repeat(starts, space.n_values) + 1
    for first in range(0, len(encoded) if width else 0, _CHUNK):
        chosen = encoded[first : first + _CHUNK] == 1
        excess = np.add.reduceat(chosen, starts, axis=1, dtype=np.int16) > 1
        if excess.any() or not (chosen == (encoded[first : first + _CHUNK] != 0)).all():
            raise InvalidValueError(
                "the numbers are not one-hot; accepted are zeros and at most one 1 in the block of each decision"
            )
        rows[first : first + _CHUNK] = np.add.reduceat(chosen * position, starts, axis=1) - 1
    return rows


def one_hot_names(space: DecisionSpace) -> list[str]:
    """A readable name for each column of `one_hot`: "decision=value"."""
    return [f"{decision.name}={_text(value)}" for decision in space for value in decision.values]


def ordinal(space: DecisionSpace, rows: NDArray[Any]) -> Encoded:
    """One number for each decision: its value's position scaled to [0, 1], or -1 if inactive; shape (n, n_decisions).

    Meant for values with an order (depths, widths, kernel sizes). A decision with one value gives 0.

    Raises:
        InvalidValueError: If `rows` is no integer array (n, n_decisions) of value indices or -1.
    """
    rows = _checked(space, rows)
    scaled = rows.astype(np.float32)
    scaled /= np.maximum(space.n_values - 1, 1).astype(np.float32)
    scaled[rows < 0] = -1.0
    return scaled


def _starts(space: DecisionSpace) -> NDArray[np.int64]:
    """Column at which each decision's block begins."""
    return np.cumsum(space.n_values) - space.n_values


def _checked(space: DecisionSpace, rows: NDArray[Any]) -> NDArray[Any]:
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != len(space) or rows.dtype.kind not in "iu":
        raise InvalidValueError(
            f"rows are {rows.dtype} of the shape {rows.shape}; this space needs integers of the shape (n, {len(space)})"
        )
    if len(rows) == 0:
        return rows
    wrong = (rows.min(axis=0) < -1) | (rows.max(axis=0) >= space.n_values)
    if wrong.any():
        decision = space.decisions[int(wrong.argmax())]
        raise InvalidValueError(
            f"rows hold a position that decision {decision.name!r} does not have; "
            f"accepted are -1 to {len(decision.values) - 1}"
        )
    return rows


def _text(value: Value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
