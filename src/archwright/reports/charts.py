"""The charts of a page: each has a Vega-Lite specification, its numbers, and a text and a table that say the same.

Specifications contain the colours for white paper; the page maps each of them to its dark form (`DARK`), so that one
picture serves light, dark and print. Series also differ in shape or dash, so that colour is never needed to tell them
apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.reports.measures import Trials, code_of
from archwright.reports.text import is_fraction, is_number, visible

Spec = dict[str, Any]

SERIES = ("#0072b2", "#c75000", "#00795a", "#a3478a", "#8a6d00", "#56708a")
"""Colours of series: search, random baseline, winner, and further ones (after Okabe and Ito)."""

INK, SOFT, MUTED, GRID, BAD, PAPER = "#1c2430", "#5a6676", "#a9b2bd", "#e6eaee", "#b3341f", "#ffffff"
DARK = {
    **dict(zip(SERIES, ("#56b4e9", "#f0a030", "#3fcf9f", "#e08cc5", "#e3c447", "#9fb6cc"), strict=True)),
    **{INK: "#e6eaf0", SOFT: "#9aa7b8", MUTED: "#5c6979", GRID: "#2a323e", BAD: "#ff8a70", PAPER: "#1b212a"},
}
"""Each colour's form on a dark page."""

SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")
STAR = (
    "M0,-1L.235,-.324L.951,-.309L.38,.124L.588,.809L0,.4L-.588,.809L-.38,.124L-.951,-.309L-.235,-.324Z"  # Vega's path
)
DASHES = ([1, 0], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4])
WIDTH, WIDE, HEIGHT = 500, 1040, 290


@dataclass(frozen=True)
class Table:
    """A table: the names of its columns, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def records(self) -> list[dict[str, Any]]:
        """Each row as a mapping from column to cell."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        """The table as a JSON object."""
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}


NO_TABLE = Table((), ())


@dataclass(frozen=True)
class Chart:
    """One figure of a page.

    Attributes:
        key: Its name in the page; lower case, with hyphens.
        caption: Title of the chart.
        description: What the chart shows, in words, for readers who cannot see it.
        specs: Vega-Lite specifications by the reader's choice; the first is shown first.
        data: Tables of numbers by the names that the specifications use.
        table: The figures of the chart, for people to read.
        choice: What the reader chooses between specifications, e.g. "cost"; unused if there is only one.
        still: Smaller tables for the still picture, by the same names as in `data`.
        is_wide: Whether it takes the whole width of the page.
    """

    key: str
    caption: str
    description: str
    specs: Mapping[str, Spec]
    data: Mapping[str, Table] = field(default_factory=dict)
    table: Table = NO_TABLE
    choice: str = ""
    still: Mapping[str, Table] = field(default_factory=dict)
    is_wide: bool = False

    def still_spec(self) -> Spec:
        """The first specification with its numbers and a fixed width, for a still picture."""
        spec = next(iter(self.specs.values()))
        tables = {**self.data, **self.still}
        cleaned: Spec = clean({**page_spec(spec, WIDE if self.is_wide else WIDTH), "datasets": _datasets(tables)})
        return cleaned

    def to_json(self) -> dict[str, Any]:
        """The JSON object that the page's script reads."""
        specs = [page_spec(spec, "container") for spec in self.specs.values()]
        cleaned: dict[str, Any] = clean(
            {"specs": specs, "data": {name: table.to_json() for name, table in self.data.items()}}
        )
        return cleaned


def page_spec(spec: Spec, width: int | str) -> Spec:
    """The specification with the settings that all charts share, at the given width."""
    sized = {"height": HEIGHT, **spec, "width": width}
    return {**sized, "autosize": {"type": "fit", "contains": "padding"}, "config": CONFIG}


CONFIG: Spec = {
    "aria": False,  # the figure has a text of its own; a label at each of thousands of marks helps nobody
    "font": "Arial, 'Liberation Sans', Helvetica, sans-serif",  # texts are as wide where they are drawn as where read
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        **{"gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED, "labelColor": SOFT, "titleColor": SOFT},
        **{"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500, "titlePadding": 8, "labelOverlap": True},
        "titleLimit": 200,  # a name may be as long as it likes
    },
    "legend": {
        **{"orient": "top", "title": None, "labelColor": INK, "labelFontSize": 12, "labelLimit": 320},
        **{"symbolStrokeWidth": 2, "symbolOpacity": 1, "columns": 3, "columnPadding": 18},
    },
    "text": {"color": SOFT, "fontSize": 12},
}


def clean(value: Any) -> Any:
    """The value with control characters in texts made visible and numbers rounded, also inside lists and mappings."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {clean(name): clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    if isinstance(value, float) and not is_number(value):
        return None  # JSON has no infinities
    return rounded(value) if is_number(value) else value


def rounded(value: float, digits: int = 5) -> float:
    """The value with `digits` significant digits; a whole number becomes an integer, which is shorter in JSON."""
    if isinstance(value, int) and abs(value) < 10**digits:
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def thin(table: Table, most: int, kept: NDArray[np.bool_]) -> Table:
    """A table with fewer rows, which are spread evenly over the whole.

    Args:
        table: The table.
        most: Most rows to take besides those to keep.
        kept: Mask (n_rows,) of the rows to keep in any case.
    """
    others = np.flatnonzero(~kept)
    if len(others) > most:
        others = others[np.linspace(0, len(others) - 1, most).round().astype(int)]
    return Table(table.columns, [table.rows[i] for i in np.union1d(others, np.flatnonzero(kept)).tolist()])


def quantitative(field: str, title: str | None, format: str, **more: Any) -> Spec:
    """The encoding of an axis of numbers, which need not begin at zero.

    Args:
        field: Column of the data.
        title: Title of the axis; None leaves it out.
        format: Format of the numbers in d3's notation, e.g. ".3~s".
        more: Further properties of the encoding; those of `scale` and `axis` are merged with ours.
    """
    scale = {"zero": False, "padding": 8, **more.pop("scale", {})}
    axis = {"format": format, "tickCount": 6, **more.pop("axis", {})}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis, **more}


def hint(field: str, title: str, format: str | None = None) -> Spec:
    """The encoding of one line of the text that appears when the pointer rests on a mark.

    Args:
        field: Column of the data.
        title: Name before the value.
        format: Format of a number in d3's notation; None shows the value as text.
    """
    # Vega-Lite makes an expression of it in which it escapes quotes only
    said = " ".join(visible(title).split()).replace("\\", "\\\\")
    if format is None:
        return {"field": field, "type": "nominal", "title": said}
    return {"field": field, "type": "quantitative", "title": said, "format": format}


def code_hint(trials: Trials) -> list[Spec]:
    """The line of a text at a mark that gives the code of a trial, column "k"; none where no trial has one."""
    return [hint("k", "code")] if any(code_of(trial) for trial in trials) else []


def names_expression(names: Mapping[str, str]) -> str:
    """The label of an axis from the value there, looked up: so no name has to be a value that Vega sorts and joins by.

    Args:
        names: Text of each value.
    """
    pairs = ", ".join(f"{value}: {json.dumps(visible(name))}" for value, name in names.items())
    return f"({{{pairs}}})[datum.value]"


def text_layers(layer: Spec, **mark: Any) -> list[Spec]:
    """A layer of texts above a layer of their outlines in the colour of the paper, so they stay readable on marks."""
    style = {"type": "text", "fontSize": 11, "color": SOFT, **mark}
    under = {**style, "color": PAPER, "stroke": PAPER, "strokeWidth": 3.5, "strokeJoin": "round", "opacity": 0.85}
    return [{**layer, "mark": under}, {**layer, "mark": style}]


def nominal(field: str, names: Sequence[str], values: Sequence[Any], **more: Any) -> Spec:
    """The encoding of names by colours, shapes or dashes, with a legend.

    Args:
        field: Column of the data that has the names.
        names: All names, in the order of the legend.
        values: The colour, shape or dash of each name.
        more: Further properties of the encoding.
    """
    return {"field": field, "type": "nominal", "scale": {"domain": list(names), "range": list(values)}, **more}


def score_format(metric: str) -> str:
    """The d3 format of a metric's scores: percent for fractions, else four significant digits."""
    return ".4~%" if is_fraction(metric) else ".4~g"


def cost_format(values: Sequence[float]) -> str:
    """The d3 format of costs: with k, M and G, unless that would show small values in thousandths."""
    return ".3~s" if values and max(map(abs, values)) >= 1000 else ".4~g"


def _datasets(tables: Mapping[str, Table]) -> dict[str, Any]:
    return {name: table.records() for name, table in tables.items()}
