"""`archwright status`: how far a run is, whether it is running, finished or dead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli.boundary import resume_command
from archwright.cli.options import Json, parse_path
from archwright.cli.text import columns, duration, print_json, print_lines


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.", parser=parse_path)],
    json: Json = False,
) -> None:
    """Show how far a run is, its best so far, the time left."""
    from archwright.runs.status import read_status

    document = read_status(folder)
    if json:
        print_json(document)
    else:
        print_lines(_lines(document, folder))


def _lines(document: Mapping[str, Any], folder: Path) -> list[str]:
    state, recipe = str(document["state"]), document.get("recipe")
    rows = [("state", state), ("recipe", recipe), ("phase", _phase(document)), ("best", document.get("best"))]
    rows += [
        (name, _span(document.get(f"{key}_s"))) for name, key in (("elapsed", "elapsed"), ("time left", "time_left"))
    ]
    rows.append(("updated", document.get("updated")))
    lines = columns([(name, str(value)) for name, value in rows if value is not None], indent=0)
    if state == "dead" and recipe:  # a line of its own, which nothing wraps: it is there to be copied
        lines += ["continue with:", f"  archwright {resume_command(str(recipe), folder)}"]
    return lines


def _phase(document: Mapping[str, Any]) -> str | None:
    phase, done, total = (document.get(key) for key in ("phase", "done", "total"))
    if phase is None or done is None:
        return phase
    return f"{phase}, {done} of {total}" if total else f"{phase}, {done}"


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)
