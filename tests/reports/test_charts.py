"""What all charts share: short numbers, visible texts, thinned clouds."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.reports.charts import DARK, SERIES, Chart, Table, clean, cost_format, hint, rounded, score_format, thin


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456789, "0.12346"), (1_964_032.4, "1964000"), (12345, "12345"), (2.0, "2"), (1e300, "1e+300"), (0, "0")],
)
def test_numbers_are_as_long_as_they_are_read(value: float, expected: str) -> None:
    """Five digits; whole numbers without a point."""
    assert str(rounded(value)) == expected


def test_texts_are_made_visible() -> None:
    """In keys and values, at any depth."""
    assert clean({"a\x1b": ["b\u202e", ("c", None, True)]}) == {"a\\x1b": ["b\\u202e", ["c", None, True]]}


def test_names_in_hints_end_no_expression() -> None:
    r"""Vega-Lite escapes quotes, but no backslash and no line break: those are escaped before."""
    assert hint("x", "C:\\x\n\x1b")["title"] == "C:\\\\x \\\\x1b"


def test_thinned_cloud_keeps_ends_and_what_it_must() -> None:
    """Of 100 rows, 5 evenly from the first to the last, and number 7."""
    table = Table(("i",), [[i] for i in range(100)])
    kept = np.zeros(100, dtype=bool)
    kept[7] = True
    assert [row[0] for row in thin(table, 5, kept).rows] == [0, 7, 25, 50, 75, 99]


def test_specifications_share_numbers() -> None:
    """The page has each number once, however many specifications refer to it; the still picture may have fewer."""
    table = Table(("x",), [[1], [2]])
    chart = Chart(
        "a", "", "", {"one": {"mark": "point"}, "two": {"mark": "bar"}}, {"t": table}, still={"t": Table(("x",), [[1]])}
    )
    document = chart.to_json()
    assert [spec["mark"] for spec in document["specs"]] == ["point", "bar"]
    assert document["data"] == {"t": {"columns": ["x"], "rows": [[1], [2]]}}
    assert {spec["width"] for spec in document["specs"]} == {"container"}
    still = chart.still_spec()
    assert still["datasets"] == {"t": [{"x": 1}]}
    assert isinstance(still["width"], int)


def test_formats_fit_the_figures() -> None:
    """Percent for accuracies, k and M for large costs, but no thousandths of a millisecond."""
    assert score_format("top1_accuracy") == ".4~%"
    assert score_format("perplexity") == ".4~g"
    assert (cost_format([0.2, 0.3]), cost_format([1e6])) == (".4~g", ".3~s")


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("color", SERIES)
def test_series_stand_out_on_light_and_dark(color: str) -> None:
    """At least 3 to 1, which WCAG 2.1 (1.4.11) asks of graphics."""
    assert _contrast(color, "#ffffff") >= 3
    assert _contrast(DARK[color], "#1b212a") >= 3
