"""Text fits, foreign text does no harm, colours can be read."""

from __future__ import annotations

import re

import pytest

from archwright.reports.drawing.canvas import (
    MAX_CHARACTERS,
    box_class,
    fitted,
    group,
    plain,
    styles,
    text_width,
    words,
)

KINDS = (
    "conv",
    "depthwise",
    "pool",
    "skip",
    "none",
    "linear",
    "attention",
    "join",
    "other",
    "state",
    "input",
    "output",
)


def test_foreign_text_becomes_one_harmless_line() -> None:
    """Line ends, control characters, direction marks, halves of characters and what XML has no place for."""
    assert plain("a\n\tb\x00\x1b\u202e\ud800\uffff") == "a b\\x00\\x1b\\u202e\\ud800�"


def test_foreign_text_is_clipped() -> None:
    """A name of a million characters takes no more than a line."""
    assert plain("x" * 1_000_000) == "x" * (MAX_CHARACTERS - 1) + "…"


def test_markup_in_text_is_escaped() -> None:
    """In a text and where the pointer rests."""
    evil = "</text><script>alert('&\")</script>"
    assert "<script" not in group([words(0, 0, evil, 12)], note=evil)


@pytest.mark.parametrize("text", ["conv 3×3", "W" * 50, "工作" * 30, "", "iiii"])
@pytest.mark.parametrize("width", [0.0, 10.0, 80.0, 200.0])
def test_fitted_text_fits(text: str, width: float) -> None:
    """By the estimate; what fits stays whole, the ellipsis alone is the least there is."""
    found = fitted(text, width, 12)
    assert found in (text, "…") or (found.endswith("…") and text.startswith(found[:-1].rstrip()))
    assert text_width(found, 12) <= width or found == "…" or not text


def test_estimated_width_of_helvetica() -> None:
    """ "global pool" at 1000 units an em is 4948 wide by Adobe's metrics; the estimate is at most a fifth more."""
    letters = {"g": 556, "l": 222, "o": 556, "b": 556, "a": 556, " ": 278, "p": 556}
    real = sum(letters[c] for c in "global pool")
    assert real <= text_width("global pool", 1000) <= 1.25 * real


def luminance(color: str) -> float:
    """As WCAG defines it."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def rules(css: str) -> dict[str, dict[str, str]]:
    return {
        name: dict(pair.split(":") for pair in body.split(";")) for name, body in re.findall(r"\.(aw-\w+){(.*?)}", css)
    }


def test_text_can_be_read_on_every_fill() -> None:
    """WCAG's ratio for text, 4.5, in both themes and for every shade."""
    classes = {box_class(kind, kernel) for kind in KINDS for kernel in (None, 1, 3, 5, 7)}  # type: ignore[arg-type]
    light, dark = styles(" ".join({*classes, "aw-ink", "aw-faint", "aw-ground"})).split("@media")
    for theme in map(rules, (light, dark)):
        assert set(theme) == {*classes, "aw-ink", "aw-faint", "aw-ground"}
        fills = [theme[css]["fill"] for css in classes]
        assert min(contrast(theme["aw-ink"]["fill"], fill) for fill in fills) >= 4.5
        assert contrast(theme["aw-faint"]["fill"], theme["aw-ground"]["fill"]) >= 4.5


def test_only_rules_that_are_used() -> None:
    """A drawing of convolutions does not define the colours of pooling."""
    assert set(rules(styles('<g class="aw-conv3">').split("@media")[0])) == {"aw-conv3"}
