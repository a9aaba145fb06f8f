"""Rows with every value of every decision."""

from __future__ import annotations

import numpy as np

from archwright.core.decisions import Decision, DecisionSpace
from archwright.spaces import open_space
from archwright.spaces.covering import MOST_ROWS, covering_rows


def _values(*counts: int) -> DecisionSpace:
    return DecisionSpace([Decision(f"d{i}", tuple(range(n)), "number") for i, n in enumerate(counts)])


def test_by_hand() -> None:
    """As many rows as the longest decision has values; the others begin again."""
    assert covering_rows(_values(2, 3)).tolist() == [[0, 0], [1, 1], [0, 2]]


def test_long_decisions_are_thinned_out() -> None:
    """From the first value to the last one."""
    column = covering_rows(_values(100))[:, 0].tolist()
    assert (len(column), column[0], column[-1]) == (MOST_ROWS, 0, 99)


def test_every_value_of_a_space_is_there() -> None:
    """Of NAS-Bench-201, whose decisions are always active."""
    rows = covering_rows(open_space("nasbench201").decisions)
    assert all(set(column) == set(range(5)) for column in rows.T.tolist())


def test_no_decisions_are_one_row() -> None:
    assert covering_rows(DecisionSpace([])).shape == (1, 0)
    assert np.issubdtype(covering_rows(_values(2)).dtype, np.integer)
