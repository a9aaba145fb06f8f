"""Encodings against hand-written vectors and round trips."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.core.encoding import from_one_hot, one_hot, one_hot_names, ordinal
from archwright.core.errors import InvalidValueError

SPACE = DecisionSpace(
    [
        Decision("op", ("conv", "pool")),
        Decision("kernel", (3, 5, 7), "number", when=((Condition("op", ("conv",)),),)),
        Decision("stem", (16,), "number"),
        Decision("inputs", ((0, 1), (0, 2)), "inputs"),
    ]
)
ROWS = np.array([[0, 2, 0, 1], [1, -1, 0, 0]], dtype=np.int16)


def test_one_hot_by_hand() -> None:
    """One block a decision; the inactive kernel of a pool is all zeros."""
    encoded = one_hot(SPACE, ROWS)
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[1, 0, 0, 0, 1, 1, 0, 1], [0, 1, 0, 0, 0, 1, 1, 0]]


def test_one_hot_names_by_hand() -> None:
    """A column is named by its decision and value."""
    assert one_hot_names(SPACE) == [
        "op=conv",
        "op=pool",
        "kernel=3",
        "kernel=5",
        "kernel=7",
        "stem=16",
        "inputs=0,1",
        "inputs=0,2",
    ]


def test_ordinal_by_hand() -> None:
    """Position over the last position; -1 for inactive, 0 for a single value."""
    encoded = ordinal(SPACE, ROWS)
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[0, 1, 0, 1], [1, -1, 0, 0]]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
def test_one_hot_round_trip_across_chunks(dtype: type, rng: np.random.Generator) -> None:
    """10,000 rows, more than two chunks of 4,096, come back as they were, in the type of rows."""
    rows = SPACE.sample(10_000, rng)
    back = from_one_hot(SPACE, one_hot(SPACE, rows.astype(dtype)))
    assert back.dtype == np.int16
    assert np.array_equal(back, rows)


def test_each_active_decision_has_one_one(rng: np.random.Generator) -> None:
    """The ones of a row are as many as its active decisions."""
    rows = SPACE.sample(500, rng)
    assert one_hot(SPACE, rows).sum(axis=1).tolist() == (rows >= 0).sum(axis=1).tolist()


def test_no_rows_and_no_decisions() -> None:
    """Empty populations and the empty space keep their shapes."""
    none, empty = np.empty((0, 4), dtype=np.int16), DecisionSpace([])
    assert one_hot(SPACE, none).shape == (0, 8)
    assert ordinal(SPACE, none).shape == (0, 4)
    assert from_one_hot(SPACE, one_hot(SPACE, none)).shape == (0, 4)
    assert from_one_hot(empty, one_hot(empty, np.empty((3, 0), dtype=np.int16))).shape == (3, 0)


@pytest.mark.parametrize("encode", [one_hot, ordinal])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([[0, 0, 0]]), r"shape \(1, 3\).*\(n, 4\)"),
        (np.array([[0.0, 0.0, 0.0, 0.0]]), "float64.*integers"),
        (np.array([[0, 3, 0, 0]]), "'kernel'.*-1 to 2"),
        (np.array([[0, 0, -2, 0]]), "'stem'.*-1 to 0"),
    ],
)
def test_wrong_rows_are_named(encode: object, rows: np.ndarray, message: str) -> None:
    """Shape, type and range; the message says what fits."""
    with pytest.raises(InvalidValueError, match=message):
        encode(SPACE, rows)  # type: ignore[operator]


def test_wrong_one_hot_is_refused() -> None:
    """Two ones in a block, a half, and a wrong width are no encoded archs."""
    encoded = one_hot(SPACE, ROWS)
    for place, value in ((1, 1.0), (0, 0.5), (0, np.nan)):
        broken = encoded.copy()
        broken[0, place] = value
        with pytest.raises(InvalidValueError, match="not one-hot"):
            from_one_hot(SPACE, broken)
    with pytest.raises(InvalidValueError, match=r"\(n, 8\)"):
        from_one_hot(SPACE, encoded[:, 1:])
