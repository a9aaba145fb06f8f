"""SVG elements of drawings: text that fits its box, colours for light and dark, short numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from archwright.core.drawing import Kind
from archwright.reports.text import visible

FONT = "Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif"
MAX_CHARACTERS = 200
"""Most characters of any text; text that does not fit its box is cut further."""

_NARROW, _WIDE, _MATHS = frozenset("iljtfrI.,:;|!'()[]{}/\\ -`"), frozenset("mwMW@%&"), frozenset("+=~<>×#")
_BOLD = 1.08
"""How much wider bold text is."""

_HUES: dict[Kind, str] = {
    "conv": "#0072b2",
    "depthwise": "#e69f00",
    "pool": "#009e73",
    "linear": "#cc79a7",
    "attention": "#d55e00",
    "other": "#56b4e9",
    "join": "#7f7f7f",
    "input": "#7f7f7f",
    "output": "#7f7f7f",
}
"""The palette of Okabe and Ito, which people with any colour vision tell apart; other kinds have no fill."""

_SHADES = {1: 0.16, 3: 0.26, 5: 0.38, 7: 0.5}
_LIGHT, _DARK = ("#ffffff", "#1f2328"), ("#16191d", "#e6e9ec")
"""(ground, ink) of each theme."""


@dataclass(frozen=True)
class Panel:
    """One part of a drawing.

    Attributes:
        title: Text above the panel; may be empty.
        width: Width of the panel; its parts lie inside (0, 0) to (width, height).
        height: Height of the panel.
        parts: SVG elements.
    """

    title: str
    width: float
    height: float
    parts: Sequence[Markup]


def plain(text: object) -> str:
    """A foreign text made safe for XML: on one line, without invisible characters, cut to `MAX_CHARACTERS`."""
    line = visible(" ".join(str(text)[: 10 * MAX_CHARACTERS].split()))
    line = "".join(c if ord(c) not in (0xFFFE, 0xFFFF) else "�" for c in line)
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Estimated width of a text in pixels, in a sans-serif font.

    It fits DejaVu Sans, the widest of the fonts used; for the others it is about a tenth too large.

    Args:
        text: The text.
        size: Size of the font in pixels.
        bold: Whether the font is bold.
    """
    return sum(map(_relative_width, text)) * size * (_BOLD if bold else 1.0)


def _relative_width(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in _NARROW:
        return 0.4
    if character in _WIDE:
        return 0.97
    if character in _MATHS:
        return 0.84
    return 0.74 if character.isupper() or ord(character) > 0x2FF else 0.63


def fitted(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text if it fits the width, else as much of its beginning as fits, with an ellipsis.

    Args:
        text: The text.
        width: Width in pixels.
        size: Size of the font in pixels.
        bold: Whether the font is bold.
    """
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(text + "…", size, bold=bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def number(value: float) -> str:
    """A coordinate to a tenth of a pixel, without a trailing zero.

    >>> number(3.0), number(2.25), number(-0.01)
    ('3', '2.2', '0')
    """
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def words(
    x: float, y: float, text: str, size: float, *, anchor: str = "middle", faint: bool = False, bold: bool = False
) -> Markup:
    """A text element.

    Args:
        x: Position to which `anchor` refers.
        y: Position of the baseline.
        text: The text.
        size: Size of the font in pixels.
        anchor: Which part of the text is at x: "start", "middle" or "end".
        faint: Whether it has the faint colour.
        bold: Whether the font is bold.
    """
    style = Markup(' font-weight="600"') if bold else Markup("")
    return Markup('<text class="{}" x="{}" y="{}" font-size="{}" text-anchor="{}"{}>{}</text>').format(
        "aw-faint" if faint else "aw-ink", number(x), number(y), number(size), anchor, style, text
    )


def rectangle(css: str, x: float, y: float, width: float, height: float, radius: float = 4.0) -> Markup:
    """A box with rounded corners.

    Args:
        css: Its colour class.
        x: Position of its left side.
        y: Position of its upper side.
        width: Its width.
        height: Its height.
        radius: Radius of its corners.
    """
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="{}"/>').format(
        css, number(x), number(y), number(width), number(height), number(radius)
    )


def path(css: str, pieces: Iterable[str]) -> Markup:
    """A path of several pieces, in a colour class; empty if there are no pieces."""
    d = "".join(pieces)
    return Markup('<path class="{}" d="{}"/>').format(css, d) if d else Markup("")


def group(parts: Iterable[Markup], *, note: str = "", dx: float = 0.0, dy: float = 0.0) -> Markup:
    """A group of elements.

    Args:
        parts: The elements.
        note: Text that appears when the pointer rests on the group.
        dx: Distance by which to move the group to the right.
        dy: Distance by which to move it down.
    """
    moved = Markup(' transform="translate({} {})"').format(number(dx), number(dy)) if dx or dy else Markup("")
    hover = Markup("<title>{}</title>").format(plain(note)) if note else Markup("")
    return Markup("<g{}>{}{}</g>").format(moved, hover, Markup("").join(parts))


def box_class(kind: Kind, kernel: int | None = None) -> str:
    """The colour class of a box: its kind, and darker for a larger kernel.

    >>> box_class("conv", 3), box_class("conv", 11), box_class("skip")
    ('aw-conv3', 'aw-conv7', 'aw-skip')
    """
    if kind not in _HUES or kind in ("join", "input", "output"):
        return f"aw-{kind}"
    return f"aw-{kind}{max((size for size in _SHADES if size <= (kernel or 1)), default=1)}"


def styles(markup: str) -> Markup:
    """Style rules for the colour classes in a drawing; the reader's setting selects dark colours, except in print."""
    used = sorted(set(re.findall(r"aw-[a-z]+[1357]?", markup)))
    light, dark = ("".join(rule for css in used for rule in _rules(css, *theme)) for theme in (_LIGHT, _DARK))
    return Markup("<style>{}@media screen and (prefers-color-scheme:dark){{{}}}</style>").format(
        Markup(light), Markup(dark)
    )


def _rules(css: str, ground: str, ink: str) -> list[str]:
    kind, shade = re.sub(r"[0-9]", "", css).removeprefix("aw-"), css[-1:]
    soft = _mixed(ground, ink, 0.55)
    fixed = {
        "ground": f"fill:{ground}",
        "ink": f"fill:{ink}",
        "faint": f"fill:{_mixed(ground, ink, 0.72)}",
        "line": f"fill:none;stroke:{soft};stroke-width:1.2",
        "dash": f"fill:none;stroke:{soft};stroke-width:1;stroke-dasharray:3 3",
        "head": f"fill:{soft}",
        "badge": f"fill:{ink}",
        "reverse": f"fill:{ground}",
        "state": f"fill:{ground};stroke:{ink};stroke-width:1.4",
        "skip": f"fill:{ground};stroke:{soft}",
        "none": f"fill:{ground};stroke:{soft};stroke-dasharray:3 3",
    }
    if kind in fixed:
        return [f".{css}{{{fixed[kind]}}}"]
    for known, hue in _HUES.items():
        if kind == known:
            strength = _SHADES[int(shade)] if shade.isdigit() else 0.22
            edge = _mixed(ink, hue, 0.6)
            return [f".{css}{{fill:{_mixed(ground, hue, strength)};stroke:{edge}}}"]
    return []


def _mixed(one: str, other: str, share: float) -> str:
    """A colour between two, `share` of the way to the other."""
    pairs = ((int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)
