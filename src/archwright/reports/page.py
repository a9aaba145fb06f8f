"""Self-contained HTML pages: they load nothing, only our two scripts run, and foreign text is never interpreted."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from archwright.reports.charts import DARK, Chart
from archwright.reports.text import visible
from archwright.reports.vega import Drawn, Spec, draw
from archwright.reports.view import run_view
from archwright.runs.files import write_text

_TEMPLATES = Path(__file__).parent / "templates"

GENERATOR = '<meta name="generator" content="archwright">'
"""Tag that marks a page as ours."""

Draw = Callable[[Sequence[Spec]], Drawn]


def render_page(document: Mapping[str, Any], *, draw: Draw = draw) -> str:
    """The page as HTML text; the document is described in `write_page`.

    Args:
        document: The contents of the page.
        draw: Draws the charts' specifications.
    """
    return render("run.html", run_view(document), draw)


def write_page(path: Path | str, document: Mapping[str, Any]) -> None:
    """Write the page of a run atomically.

    Args:
        path: The HTML file; its folder exists.
        document: {"result": result.json, "run": run.json, "trials": {"search": […], "baseline": […]} with
            {"number", "code", "metrics", "costs", "status", "arch", "failure"} each, "architecture": rows of {"name",
            "value"}, a mapping or a text, "layers": rows of one table, "classes": the test by class as in
            `finish.predictions.classes_document`, "training": {name: [(step, loss), …]}, "drawing": the
            architecture as SVG text, "status": what `read_status` gives, "ledger": {phase: entry}, "rank": what
            `archwright rank` gives, "latencies": {cost: measured table}, "choice": choice.json}. Every key may be
            absent; the page then says what was not measured.
    """
    write_text(path, render_page(document))


def holds_page(path: Path) -> bool:
    """Whether a file is a complete page of ours."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return GENERATOR.encode() in text[:2000] and text.endswith(b"</html>")


def render(template: str, view: Mapping[str, Any], draw: Draw = draw) -> str:
    """A page of ours as HTML text, with its charts drawn.

    Args:
        template: Name of the template, e.g. "run.html".
        view: What the template reads; "charts" has the charts by key.
        draw: Draws the charts' specifications.
    """
    charts: Mapping[str, Chart] = view["charts"]
    drawn = draw([chart.still_spec() for chart in charts.values()])
    own = (_TEMPLATES / "page.js").read_text("utf-8")
    scripts = [_script_text(text) for text in (drawn.script, own)] if drawn.script else []
    page = {
        "scripts": [Markup(text) for text in scripts],
        "policy": _policy(scripts),
        "pictures": {key: Markup(svg) for key, svg in zip(charts, drawn.svgs, strict=False)},
        "no_pictures": drawn.failure if charts else "",
        "data": _data_text({key: chart.to_json() for key, chart in charts.items()}),
        "dark": DARK,
        "generator": Markup(GENERATOR),
    }
    return _environment().get_template(template).render({**view, **page})


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy under which these scripts run and no other, and nothing is fetched."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    fixed = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"{fixed}; script-src {allowed}"


def _script_text(text: str) -> str:
    r"""JavaScript that ends where it should inside a page: in strings and patterns `\/` and `\!` mean `/` and `!`."""
    return re.sub("<(/script|!--)", r"<\\\1", text.replace("\r", ""), flags=re.IGNORECASE)


def _data_text(document: Any) -> Markup:
    """JSON inside a page; no markup can begin in it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _data_uri(svg: str) -> str:
    """A picture as the address of an image: in one, no script runs and nothing is loaded, whoever drew it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8", "replace")).decode()


def _shown(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return "" if value is None else visible(str(value))
