"""What the documentation site is given beside the pages of docs/, as a hook of mkdocs (see mkdocs.yml).

A page asks for it by a line `<!-- insert: WHAT -->`, so that it also reads well where nothing is inserted:

commands               the help of the command line, from the command line itself
catalogue KIND         the names of a kind, from the catalogue
notebook FILE          the cells of a notebook of docs/notebooks
file NAME              a Markdown file at the top of the repository
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

INSERT = re.compile(r"^<!-- insert: (\S+)(?: (\S+))? -->$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)]*)\)")
LONGEST_OUTPUT = 60_000


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page, with what it asks for."""
    return INSERT.sub(lambda found: INSERTS[found[1]](*filter(None, [found[2]])), markdown)


def commands() -> str:
    """A heading and the help of every command, in the order of `archwright --help`."""
    # help is wrapped to the terminal it is read on; here that is the page
    os.environ["COLUMNS"] = "88"
    from typer.main import get_command

    from archwright.cli.app import COMMANDS, app

    group: Any = get_command(app)
    context = group.make_context("archwright", [], resilient_parsing=True)
    parts = [_fenced(group.get_help(context))]
    for name in COMMANDS:
        command = group.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        parts.append(f"## archwright {name}\n\n{_fenced(command.get_help(inner))}")
    return "\n\n".join(parts)


def catalogue(kind: str) -> str:
    """A table of the names of a kind."""
    from archwright.core import catalog

    rows = [f"| `{e.name}` | {_cell(e.summary)} | {_cell(e.source)} |" for e in catalog.entries(kind)]  # type: ignore[arg-type]
    return "\n".join(["| name | what it is | source |", "|---|---|---|", *rows])


def notebook(name: str) -> str:
    """The cells of a notebook as Markdown, with what the code printed and drew."""
    document = json.loads((ROOT / "docs" / "notebooks" / name).read_text("utf-8"))
    return "\n\n".join(part for cell in document["cells"] for part in _cell_parts(cell))


def file(name: str) -> str:
    """A Markdown file without its heading; links to files that are no pages of the site become plain text."""
    text = (ROOT / name).read_text("utf-8").partition("\n")[2].strip()
    return LINK.sub(lambda found: found[1], text)


INSERTS: dict[str, Callable[..., str]] = {
    "commands": commands,
    "catalogue": catalogue,
    "notebook": notebook,
    "file": file,
}


def _cell_parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield _fenced(source, "python")
    for output in cell.get("outputs", []):
        if "text" in output:
            yield _fenced("".join(output["text"])[:LONGEST_OUTPUT])
        elif "image/svg+xml" in output.get("data", {}):
            picture = "".join(output["data"]["image/svg+xml"])
            yield f'<div class="notebook-picture">{picture}</div>'


def _fenced(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
