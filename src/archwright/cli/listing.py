"""`archwright list`: the names that commands understand."""

from __future__ import annotations

from typing import Annotated

import typer

from archwright.cli import completion
from archwright.cli.options import Json
from archwright.cli.text import columns, print_json, print_lines
from archwright.core import catalog
from archwright.core.errors import UnknownNameError

PLURALS: dict[str, catalog.Kind] = {
    "recipes": "recipe",
    "spaces": "space",
    "strategies": "strategy",
    "policies": "policy",
    "weight-sharing": "weight-sharing",
    "evaluators": "evaluator",
    "costs": "cost",
    "architectures": "architecture",
    "datasets": "dataset",
    "benchmarks": "benchmark",
}


def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{'|'.join(PLURALS)}]",
            autocompletion=completion.values((plural, "") for plural in PLURALS),
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the recipes, spaces, datasets and other names."""
    found = catalog.entries(None if kind is None else _kind(kind))
    if json:
        keys = ("name", "kind", "summary", "source")
        print_json([{key: getattr(entry, key) for key in keys} for entry in found])
        return
    print_lines(_lines(found) or [f"no {kind or 'names'} are known in this version"])


def _kind(text: str) -> catalog.Kind:
    """The kind a person means, in the plural or the singular."""
    name = catalog.canonical_name(text)
    for plural, kind in PLURALS.items():
        if name in (plural, kind):
            return kind
    raise UnknownNameError("kind of names", text, PLURALS)


def _lines(found: tuple[catalog.Entry, ...]) -> list[str]:
    lines: list[str] = []
    for plural, kind in PLURALS.items():
        rows = [(entry.name, _text(entry)) for entry in found if entry.kind == kind]
        if rows:
            lines += [*([""] if lines else []), plural, *columns(rows)]
    return lines


def _text(entry: catalog.Entry) -> str:
    return f"{entry.summary} ({entry.source})" if entry.source else entry.summary
