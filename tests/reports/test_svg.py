"""Ticks are round, marks lie where their numbers say, and text is escaped."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwright.reports.svg import HEIGHT, WIDTH, Axis, Series, chart, ticks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.3, 9.1, [0, 2, 4, 6, 8, 10]),
        (0.92, 0.987, [0.92, 0.94, 0.96, 0.98, 1.0]),
        (600_000, 2_000_000, [500_000, 1_000_000, 1_500_000, 2_000_000]),
        (-3, 4, [-4, -2, 0, 2, 4]),
        (0, 0.3, [0, 0.1, 0.2, 0.3]),
    ],
)
def test_ticks_by_hand(low: float, high: float, expected: list[float]) -> None:
    """Steps of 1, 2 or 5 times a power of ten that enclose the data, six at most."""
    assert ticks(low, high) == expected


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_enclose_and_rise(low: float, width: float) -> None:
    """At least two and at most six rising ticks, the first at or below, the last at or above the data."""
    high = low + width
    found = ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert 2 <= len(found) <= 6
    assert all(a < b for a, b in itertools.pairwise(found))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack


@pytest.mark.parametrize("value", [0.0, 5.0, -2e6, 0.93])
def test_one_value_gets_room(value: float) -> None:
    """A single value lies inside its axis, not on a line of no length."""
    found = ticks(value, value)
    assert found[0] < value < found[-1]


def test_marks_lie_at_their_numbers() -> None:
    """The corners of the data are the corners of the frame when they are round."""
    root = ET.fromstring(chart("t", [Series("s", [(0, 0), (10, 1), (5, 0.5)], shape="circle")], Axis("x"), Axis("y")))
    marks = [path.get("d", "") for path in root.findall(f"{SVG}g[@class='mark circle c0']/{SVG}path")][1:]
    places = [tuple(map(float, re.match(r"M([\d.]+) ([\d.]+)m", mark).groups())) for mark in marks]  # type: ignore[union-attr]
    assert places == [(64, HEIGHT - 46), (WIDTH - 16, 34), ((64 + WIDTH - 16) / 2, (34 + HEIGHT - 46) / 2)]


def test_steps_hold_until_the_next_point() -> None:
    """A step runs along x first, then along y."""
    text = chart("t", [Series("s", [(0, 0), (10, 1)], line="step")], Axis("x"), Axis("y"))
    assert f'd="M64 {HEIGHT - 46}H{WIDTH - 16}V34"' in text


def test_limit_is_part_of_the_axis() -> None:
    """A limit beyond the data widens the axis and is drawn with its name."""
    series = [Series("s", [(1, 1), (2, 2)], shape="circle")]
    root = ET.fromstring(chart("t", series, Axis("x"), Axis("y"), limit=4.0, limit_name="limit 4"))
    assert root.find(f"{SVG}path[@class='limit']").get("d") == f"M{WIDTH - 16} 34V{HEIGHT - 46}"  # type: ignore[union-attr]
    assert "limit 4" in [text.text for text in root.iter(f"{SVG}text")]


def test_text_is_escaped_everywhere() -> None:
    """Names, titles, labels and tick texts of a hostile kind stay text."""
    evil = "<script>\"'&\x1b"
    series = [Series(evil, [(0, 0), (1, 1)], shape="square", titles=[evil, evil])]
    text = chart(evil, series, Axis(evil, lambda _: evil), Axis(evil), limit=0.5, limit_name=evil)
    ET.fromstring(text)
    assert "<script" not in text
    assert "\x1b" not in text
    assert ET.fromstring(text).get("aria-label") == "<script>\"'&\\x1b"


def test_nothing_to_draw_is_said() -> None:
    """No points, no axes."""
    text = chart("Losses <b>", [Series("s", [])], Axis("x"), Axis("y"))
    assert text == '<p class="empty">Losses &lt;b&gt;: nothing to draw.</p>'


def test_huge_and_tiny_numbers_draw() -> None:
    """Coordinates stay finite for extreme data."""
    for points in ([(0, 1e-300), (1, 2e-300)], [(0, -1e200), (1, 1e200)], [(0, 1e15), (1, 1e15 + 1)]):
        text = chart("t", [Series("s", points, line="straight")], Axis("x"), Axis("y"))
        numbers = re.findall(r'class="line c0" d="M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)"', text)[0]
        assert all(math.isfinite(float(number)) for number in numbers)
