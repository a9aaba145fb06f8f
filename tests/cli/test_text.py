"""Text for people."""

from __future__ import annotations

import json
import math

import pytest

from archwright.cli.text import columns, duration, fitted, human, one_line, print_json


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1e3, "1.0 k"), (2_345_678, "2.3 M"), (1.5e9, "1.5 G"), (-4e12, "-4.0 T")],
)
def test_human(number: float, text: str) -> None:
    """Powers of 1000, one decimal."""
    assert human(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3600, "1 h 0 min"), (86_399, "23 h 59 min")]
)
def test_duration(seconds: float, text: str) -> None:
    """Rounded to seconds first, so that 60 s never shows."""
    assert duration(seconds) == text


def test_one_line_escapes_what_does_not_print() -> None:
    """Also a lone surrogate, as file names may have."""
    assert one_line("a\tb\n\x00\udc80") == "a b \\x00\\udc80"


def test_columns_align_and_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names stand in one column; long texts continue below their own first line."""
    monkeypatch.setenv("COLUMNS", "40")
    lines = columns([("a", "short"), ("long-name", "word " * 12)])
    assert lines[0] == "  a          short"
    assert lines[2].startswith(" " * 13 + "word")
    assert max(map(len, lines)) <= 43


def test_json_stays_strict(capsys: pytest.CaptureFixture[str]) -> None:
    """Infinities and NaN become null, wherever they stand."""
    print_json({"a": [1.5, math.inf], "b": {"c": math.nan}, "d": (1, "ü")})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": [1.5, None], "b": {"c": None}, "d": [1, "ü"]}
    assert out.isascii()


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("short", ["short"]),
        ("limit      macs <= 3: kept with 2", ["limit      macs <= 3:", "           kept with 2"]),
        ("           mean of 3 networks", ["           mean of 3", "           networks"]),
        ("files      runs/a/very/long/path.onnx", ["files", "           runs/a/very/long/path.onnx"]),
    ],
)
def test_lines_are_fitted_between_words(line: str, pieces: list[str]) -> None:
    """Under the text, not under its name; paths stay whole, so that they can be copied."""
    assert fitted(line, 22) == pieces
