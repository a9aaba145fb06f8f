"""Numbers as people read them, by hand."""

from __future__ import annotations

import math

import pytest

from archwright.reports.text import ABSENT, difference, duration, quantity, score, visible


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (7.5, "7.5"),
        (950, "950"),
        (999_400, "999 k"),
        (999_600, "1 M"),
        (1_964_032, "1.96 M"),
        (12_345_678, "12.3 M"),
        (318_729_024, "319 M"),
        (2e9, "2 G"),
        (-1500, "-1.5 k"),
        (None, ABSENT),
        (math.nan, ABSENT),
        (True, ABSENT),
        ("2M", ABSENT),
    ],
)
def test_quantity(value: object, expected: str) -> None:
    """Three digits and a prefix; what is no finite number was not measured."""
    assert quantity(value) == expected


def test_score_and_difference() -> None:
    """Accuracies in percent, other metrics as they are; the size of a difference only."""
    assert score(0.97125, "top1_accuracy") == "97.12 %"
    assert score(23.456789, "perplexity") == "23.46"
    assert score(None, "top1_accuracy") == ABSENT
    assert difference(-0.006, "top1_accuracy") == "0.60 points"
    assert difference(-0.25, "perplexity") == "0.25"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.034, "0.03 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7265, "2 h 1 min"),
        (None, ABSENT),
    ],
)
def test_duration(seconds: object, expected: str) -> None:
    """The two largest units; rounding carries over."""
    assert duration(seconds) == expected


def test_hidden_characters_become_visible() -> None:
    """Escapes, direction overrides and lone surrogates; letters of any script, tabs and newlines stay."""
    assert visible("a\x00\x1b\x85\u202eb\ud800") == "a\\x00\\x1b\\x85\\u202eb\\ud800"
    assert visible("ネコ\tж\n\N{GRINNING FACE}") == "ネコ\tж\n\N{GRINNING FACE}"
