"""Several panels as one SVG, for a file of its own or inside a page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from archwright.core.drawing import Drawing, Graph, Strip
from archwright.reports.drawing.canvas import (
    FONT,
    Panel,
    fitted,
    group,
    number,
    plain,
    rectangle,
    styles,
    text_width,
    words,
)
from archwright.reports.drawing.graphs import graph_panel
from archwright.reports.drawing.strips import strip_panel

MARGIN, PANEL_GAP, MAX_WIDTH = 16.0, 28.0, 1040.0
TITLE_SIZE, PANEL_TITLE_SIZE = 16.0, 13.0
_TITLE_HEIGHT, _PANEL_TITLE_HEIGHT = 30.0, 24.0
_LEAST_WIDTH = 240.0


def render(drawing: Drawing, title: str = "") -> str:
    """The drawing as one `<svg>` element, the same bytes for the same content.

    It has no script and refers to nothing outside. Colours follow the reader's light or dark setting; they are light in
    print and if the setting is unknown. Without a title it begins with the panels.
    """
    title = plain(title)
    top = MARGIN + (_TITLE_HEIGHT if title else 0.0)
    parts, width, height = _arranged([_panel(one) for one in drawing.panels], top)
    if title:
        shown = fitted(title, width - 2 * MARGIN, TITLE_SIZE, bold=True)
        parts.insert(0, words(MARGIN, MARGIN + TITLE_SIZE, shown, TITLE_SIZE, anchor="start", bold=True))
    body = rectangle("aw-ground", 0, 0, width, height, 0) + Markup("").join(parts)
    name, summary = title or "architecture", plain(drawing.summary)
    key = "aw-" + hashlib.sha256(f"{name}{summary}{body}".encode()).hexdigest()[:10]
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(width), number(height))
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" class="aw-drawing" {size} style="max-width:100%;height:auto" '
            'font-family="{font}" role="img" aria-labelledby="{key}t {key}d"><title id="{key}t">{name}</title>'
            '<desc id="{key}d">{summary}</desc>{styles}{body}</svg>\n'
        ).format(size=size, font=FONT, key=key, name=name, summary=summary, styles=styles(body), body=body)
    )


def _panel(one: Graph | Strip) -> Panel:
    return graph_panel(one) if isinstance(one, Graph) else strip_panel(one)


def _arranged(panels: Sequence[Panel], top: float) -> tuple[list[Markup], float, float]:
    """Panels beside each other as far as the sheet is wide, then below; with the size of the sheet."""
    placed: list[tuple[Panel, float, float]] = []
    x, y, row_height = MARGIN, top, 0.0
    for panel in panels:
        if x > MARGIN and x + _outer_width(panel) + MARGIN > MAX_WIDTH:
            x, y, row_height = MARGIN, y + row_height + PANEL_GAP, 0.0
        placed.append((panel, x, y))
        x += _outer_width(panel) + PANEL_GAP
        row_height = max(row_height, _outer_height(panel))
    width = max(_LEAST_WIDTH, *(x + _outer_width(panel) + MARGIN for panel, x, _ in placed))
    return [_titled(*one) for one in placed], width, y + row_height + MARGIN


def _outer_width(panel: Panel) -> float:
    """A small panel's title may be wider than the panel, up to a limit."""
    return max(panel.width, min(text_width(panel.title, PANEL_TITLE_SIZE, bold=True), _LEAST_WIDTH - 2 * MARGIN))


def _outer_height(panel: Panel) -> float:
    return panel.height + (_PANEL_TITLE_HEIGHT if panel.title else 0.0)


def _titled(panel: Panel, x: float, y: float) -> Markup:
    parts = list(panel.parts)
    if not panel.title:
        return group(parts, dx=x, dy=y)
    shown = fitted(panel.title, _outer_width(panel), PANEL_TITLE_SIZE, bold=True)
    head = words(0, PANEL_TITLE_SIZE - 2, shown, PANEL_TITLE_SIZE, anchor="start", faint=True, bold=True)
    return group([head, group(parts, dy=_PANEL_TITLE_HEIGHT)], dx=x, dy=y)
