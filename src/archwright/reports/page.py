"""One self-contained HTML page about one run: no script, no outside resource, every foreign text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from archwright.reports.text import visible
from archwright.reports.view import run_view
from archwright.runs.files import write_text

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(document: Mapping[str, Any]) -> str:
    """The page as HTML text; the document is described in `write_page`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("run.html").render(run_view(document))


def write_page(path: Path | str, document: Mapping[str, Any]) -> None:
    """Write the page of a run atomically.

    Args:
        path: The HTML file; its folder exists.
        document: {"result": result.json, "run": run.json, "trials": {"search": […], "baseline": […]} with
            {"number", "metrics", "costs", "status", "arch"} each, "architecture": rows of {"name", "value"}, a
            mapping or a text, "layers": rows of one table, "training": {name: [(step, loss), …]}}. Every key
            may be absent; the page then says what was not measured.
    """
    write_text(path, render_page(document))


def _shown(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return "" if value is None else visible(str(value))
