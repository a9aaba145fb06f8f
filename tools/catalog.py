"""Write src/archwright/catalog.json from the parts that carry `@listed`, or check that it is up to date.

usage: catalog.py [--check]

Collected are the objects marked by `archwright.core.catalog.listed` in the module that defines them, and the published
architectures of src/archwright/spaces/published/*.json.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "archwright"
CATALOG = PACKAGE / "catalog.json"
sys.path.insert(0, str(PACKAGE.parent))

from archwright.core.catalog import KINDS, Entry, canonical_name, dump  # noqa: E402  needs the path above

PUBLISHED_FORMAT = 1
SKIPPED = ("archwright.__main__", "archwright.cli", "archwright.testing")
"""Modules that list nothing: the command line and test helpers."""


def modules() -> Iterator[ModuleType]:
    """Every module of the package, imported."""
    for found in pkgutil.walk_packages([str(PACKAGE)], "archwright."):
        if not found.name.startswith(SKIPPED):
            yield importlib.import_module(found.name)


def listings(module: ModuleType) -> Iterator[Entry]:
    """The listed objects that this module defines; names it only imports belong to their own module."""
    for thing in vars(module).values():
        # the object's own mark: a subclass inherits the attribute but is not listed by it
        entry = getattr(thing, "__dict__", {}).get("__listing__")
        if isinstance(entry, Entry) and entry.target.partition(":")[0] == module.__name__:
            yield entry


def published() -> Iterator[Entry]:
    """Published architectures, from the data files beside the spaces."""
    for path in sorted((PACKAGE / "spaces" / "published").glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        if document.get("format") != PUBLISHED_FORMAT:
            raise SystemExit(f"{path.name}: format {document.get('format')!r}; this tool reads {PUBLISHED_FORMAT}")
        for name, record in document["architectures"].items():
            target = path.relative_to(PACKAGE).as_posix()
            yield Entry(name, "architecture", record["summary"], record["source"], target)


def collect() -> list[Entry]:
    """All entries; a name that is not canonical or is taken twice within its kind ends the program with one line."""
    every = [entry for module in modules() for entry in listings(module)] + list(published())
    # a module may hold a listed object under two names
    every = list(dict.fromkeys(every))
    taken: dict[tuple[str, str], str] = {}
    for entry in every:
        where = f"{entry.kind} {entry.name!r} ({entry.target})"
        if entry.kind not in KINDS:
            raise SystemExit(f"{where}: unknown kind; choose one of {', '.join(KINDS)}")
        if entry.name != canonical_name(entry.name):
            raise SystemExit(f"{where}: names are lower case with hyphens: {canonical_name(entry.name)!r}")
        if (entry.kind, entry.name) in taken:
            raise SystemExit(f"{where}: the name is taken by {taken[entry.kind, entry.name]}")
        taken[entry.kind, entry.name] = entry.target
    return every


def main(arguments: list[str] | None = None) -> int:
    """Write the catalogue, or with --check compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is out of date")
    options = parser.parse_args(arguments)
    wanted = dump(collect())
    present = CATALOG.read_text("utf-8") if CATALOG.exists() else ""
    if wanted == present:
        return 0
    if not options.check:
        CATALOG.write_text(wanted, "utf-8")
        print(f"wrote {CATALOG.relative_to(ROOT)}")
        return 0
    differences = difflib.unified_diff(
        present.splitlines(), wanted.splitlines(), "catalog.json", "wanted", "", "", 0, ""
    )
    print("\n".join(differences))
    print("catalog.json is out of date; run: make catalog")
    return 1


if __name__ == "__main__":
    sys.exit(main())
