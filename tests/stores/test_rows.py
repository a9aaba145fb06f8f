"""A trial survives the way through a row."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError
from archwright.core.trial import Candidate, Trial
from archwright.stores.rows import COLUMNS, from_row, to_row

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=10)
_VALUES = _TEXT | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
_ARCHS = st.dictionaries(_TEXT, _VALUES | st.lists(st.integers(0, 9), max_size=3).map(tuple), max_size=4).map(Arch)
_FIGURES = st.dictionaries(_TEXT, st.floats(allow_nan=False), max_size=3)


@settings(max_examples=150, deadline=None)
@given(_ARCHS, st.integers(0, 2**63 - 1), _FIGURES, _FIGURES, st.floats(0, 1e9), _TEXT)
def test_round_trip(
    arch: Arch, seed: int, metrics: dict[str, float], costs: dict[str, float], duration_s: float, failure: str
) -> None:
    """from_row(to_row(t)) == t, to the bit of every float."""
    trial = Trial(Candidate(3, arch, seed, 7, 1, "mutation"), "failed", metrics, costs, duration_s, failure)
    again = from_row(to_row(trial, "search"))
    assert again == trial
    assert repr(again) == repr(trial)


def test_non_finite_figures_round_trip() -> None:
    """Infinities and not-a-number come back, though the column holds strict JSON."""
    trial = Trial(
        Candidate(0, Arch({}), 0), metrics={"a": math.inf, "b": -math.inf, "c": math.nan}, duration_s=math.nan
    )
    row = to_row(trial, "search")
    text = row[COLUMNS.index("metrics")]
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) == {
        "a": "inf",
        "b": "-inf",
        "c": "nan",
    }
    again = from_row(row)
    assert (again.metrics["a"], again.metrics["b"]) == (math.inf, -math.inf)
    assert math.isnan(again.metrics["c"])
    assert math.isnan(again.duration_s)


def test_numpy_figures_become_floats() -> None:
    """A float32 scalar is stored as the double of the same value."""
    trial = Trial(Candidate(0, Arch({}), 0), metrics={"loss": np.float32(0.1)})
    assert from_row(to_row(trial, "search")).metrics == {"loss": 0.10000000149011612}


@pytest.mark.parametrize("index", range(len(COLUMNS)))
def test_each_changed_value_is_found(index: int) -> None:
    """The checksum covers every column."""
    row = list(to_row(Trial(Candidate(1, Arch({"op": "conv"}), 2, 3, 0), metrics={"m": 0.5}, failure="f"), "search"))
    row[index] = row[index] + 1 if isinstance(row[index], int | float) else row[index] + " "
    with pytest.raises(ValueError, match="checksum"):
        from_row(row)


def test_a_seed_of_64_bits_is_refused() -> None:
    """Databases have signed 64-bit integers."""
    with pytest.raises(InvalidValueError, match=r"trial 4 cannot be stored: 9223372036854775808 has more than 63 bits"):
        to_row(Trial(Candidate(4, Arch({}), 2**63)), "search")


def test_text_no_database_takes_is_escaped() -> None:
    """Half a surrogate pair and NUL, as an exception text may hold them, go into the row as ASCII and come back."""
    for text in ("a\udc80b\x00c", "\x01json:", '\x01json:"a"', "\x00", "ü\x00", "\x01", "ü\ud800"):
        trial = Trial(
            Candidate(0, Arch({text: text}), 0, origin=text), "failed", {text: 1.0}, {text: 2.0}, failure=text
        )
        row = to_row(trial, "search")
        assert all("\x00" not in value and value.encode() for value in row if isinstance(value, str))
        assert from_row(row) == trial
