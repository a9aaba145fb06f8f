"""Small inline SVG charts: axes with round ticks, lines, steps, points, a limit; no script, no outside resource.

Colours are CSS classes (c0, c1, …) that the page defines for light and dark; series differ in shape or dash
as well, so nothing hangs on colour alone. All text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from archwright.reports.text import visible

Shape = Literal["circle", "square", "star"]

WIDTH, HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 46


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows and how a number on it is written."""

    label: str
    text: Callable[[float], str] = "{:g}".format


@dataclass(frozen=True)
class Series:
    """Numbers drawn alike.

    Attributes:
        name: For the legend.
        points: (x, y) pairs of finite numbers; lines run in this order.
        color: Number of the colour class.
        line: "none", "straight", or "step" (a value holds until the next point).
        dashed: Whether the line is dashed.
        shape: Mark at each point; None draws the line only.
        titles: Hover text of each mark; may be empty.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0
    line: Literal["none", "straight", "step"] = "none"
    dashed: bool = False
    shape: Shape | None = None
    titles: Sequence[str] = ()


def chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, *, limit: float | None = None, limit_name: str = "limit"
) -> Markup:
    """One chart as an `<svg>` element; `limit` is a dashed vertical line at that x.

    Series without points are left out; without any point the chart says so instead of drawing axes.
    """
    drawn = [one for one in series if one.points]
    if not drawn:
        return Markup('<p class="empty">{}: nothing to draw.</p>').format(visible(title))
    xs = [point[0] for one in drawn for point in one.points]
    ys = [point[1] for one in drawn for point in one.points]
    frame = _Frame.around([*xs, *([] if limit is None else [limit])], ys)
    parts = [frame.axes(x, y), _legend(drawn)]
    if limit is not None:
        parts.append(frame.limit(limit, limit_name))
    parts += [frame.series(one) for one in drawn]
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    ).format(WIDTH, HEIGHT, visible(title), Markup("").join(parts))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`.

    >>> ticks(0.3, 9.1)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # nothing, or less than numbers of this size can tell apart
        margin = abs(low) * 0.01 or 1.0
        low, high = low - margin, high + margin
    power = math.floor(math.log10((high - low) / most))
    step, first, last = 0.0, 0, 0
    for factor in (1, 2, 5, 10, 20, 50):
        step = factor * 10.0**power
        # a hair's tolerance: 0.3 / 0.1 is a little less than 3
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first + 1 <= most:
            break
    n_decimals = max(0, 1 - power)
    return [round(i * step, n_decimals) for i in range(first, last + 1)]


@dataclass(frozen=True)
class _Frame:
    """Round limits of both axes, and where a number lies between them."""

    x_ticks: list[float]
    y_ticks: list[float]

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float]) -> _Frame:
        return cls(ticks(min(xs), max(xs), 7), ticks(min(ys), max(ys)))

    def x(self, value: float) -> str:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return _number(_LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT))

    def y(self, value: float) -> str:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return _number(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM))

    def axes(self, x: Axis, y: Axis) -> Markup:
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        parts = []
        for value in self.x_ticks:
            at = self.x(value)
            parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(at, _TOP, bottom))
            parts.append(_text(at, bottom + 16, x.text(value), "middle"))
        for value in self.y_ticks:
            at = self.y(value)
            parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, at, right))
            parts.append(_text(_LEFT - 7, float(at) + 4, y.text(value), "end"))
        parts.append(_text((_LEFT + right) / 2, HEIGHT - 8, x.label, "middle"))
        middle = (_TOP + bottom) / 2
        turned = Markup('<text x="14" y="{0}" text-anchor="middle" transform="rotate(-90 14 {0})">{1}</text>')
        parts.append(turned.format(_number(middle), visible(y.label)))
        return Markup("").join(parts)

    def limit(self, value: float, name: str) -> Markup:
        at = float(self.x(value))
        # the label stands inside the frame, on the side with more room
        anchor, shift = ("end", -5) if at > (WIDTH + _LEFT) / 2 else ("start", 5)
        line = Markup('<path class="limit" d="M{} {}V{}"/>').format(_number(at), _TOP, HEIGHT - _BOTTOM)
        return line + _text(at + shift, HEIGHT - _BOTTOM - 7, name, anchor)

    def series(self, one: Series) -> Markup:
        parts = []
        if one.line != "none":
            css = f"line c{one.color}{' dashed' if one.dashed else ''}"
            parts.append(Markup('<path class="{}" d="{}"/>').format(css, self._path(one)))
        if one.shape is not None:
            titles = [*one.titles, *[""] * (len(one.points) - len(one.titles))]
            marks = [self._mark(one.shape, p, t) for p, t in zip(one.points, titles, strict=True)]
            parts.append(Markup('<g class="mark {} c{}">{}</g>').format(one.shape, one.color, Markup("").join(marks)))
        return Markup("").join(parts)

    def _path(self, one: Series) -> str:
        places = [(self.x(x), self.y(y)) for x, y in one.points]
        path = f"M{places[0][0]} {places[0][1]}"
        for x, y in places[1:]:
            path += f"H{x}V{y}" if one.line == "step" else f"L{x} {y}"
        return path

    def _mark(self, shape: Shape, point: tuple[float, float], title: str) -> Markup:
        x, y = self.x(point[0]), self.y(point[1])
        hover = Markup("<title>{}</title>").format(visible(title)) if title else ""
        return Markup('<path d="M{} {}{}">{}</path>').format(x, y, _SHAPES[shape], hover)


_SHAPES: dict[Shape, str] = {
    "circle": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "square": "m-2.6-2.6h5.2v5.2h-5.2z",
    "star": "m0-9l2.1 6.1 6.5.1-5.2 3.9 1.9 6.2-5.3-3.7-5.3 3.7 1.9-6.2-5.2-3.9 6.5-.1z",
}


def _legend(series: Sequence[Series]) -> Markup:
    parts, x = [], 16.0
    for one in series:
        if one.line != "none":
            css = f"line c{one.color}{' dashed' if one.dashed else ''}"
            parts.append(Markup('<path class="{}" d="M{} 15h20"/>').format(css, _number(x)))
        if one.shape is not None:
            sample = Markup('<g class="mark {} c{}"><path d="M{} 15{}"/></g>')
            parts.append(sample.format(one.shape, one.color, _number(x + 10), _SHAPES[one.shape]))
        parts.append(_text(x + 25, 19, one.name, "start"))
        x += 25 + 6.6 * len(visible(one.name)) + 16
    return Markup("").join(parts)


def _text(x: float | str, y: float, text: str, anchor: str) -> Markup:
    place = x if isinstance(x, str) else _number(x)
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
        place, _number(y), anchor, escape(visible(text))
    )


def _number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
