"""Names the command line and configs may use → where their objects live.

The catalogue is one generated file, `archwright/catalog.json` (`make catalog`). A part enters it by
carrying `@listed(...)`; no list is edited by hand, and looking names up imports nothing but json.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, Literal, TypeVar, get_args

from archwright.core.errors import UnknownNameError

Kind = Literal[
    "recipe",
    "space",
    "strategy",
    "policy",
    "weight-sharing",
    "evaluator",
    "cost",
    "architecture",
    "dataset",
    "benchmark",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        name: The public name, lower case with hyphens.
        kind: What sort of part it is.
        summary: One line for people.
        source: Paper, section or library it comes from; may be empty.
        target: `module:attribute` of the object, or the data file of a published architecture.
    """

    name: str
    kind: Kind
    summary: str
    source: str
    target: str


def listed(kind: Kind, name: str, *, summary: str, source: str = "") -> Callable[[T], T]:
    """Mark a class or function as a member of the catalogue; the object itself stays unchanged.

    Args:
        kind: What sort of part it is.
        name: The public name, lower case with hyphens, unique within its kind.
        summary: One line for people, shown by `archwright list`.
        source: Paper, section or library it comes from; empty if there is none.

    Returns:
        A decorator.
    """

    def mark(thing: T) -> T:
        target = f"{thing.__module__}:{thing.__qualname__}"  # type: ignore[attr-defined]
        thing.__listing__ = Entry(name, kind, summary, source, target)  # type: ignore[attr-defined]
        return thing

    return mark


def canonical_name(name: str) -> str:
    """The name in the spelling used for comparison: lower case, `_` written as `-`.

    >>> canonical_name("NASNet_A_large")
    'nasnet-a-large'
    """
    return name.strip().lower().replace("_", "-")


@functools.cache
def entries(kind: Kind | None = None) -> tuple[Entry, ...]:
    """All entries of a kind (or of every kind), by kind and name."""
    text = resources.files("archwright").joinpath("catalog.json").read_text("utf-8")
    every = tuple(Entry(**line) for line in json.loads(text))
    return every if kind is None else tuple(entry for entry in every if entry.kind == kind)


def find(kind: Kind, name: str) -> Entry:
    """The entry of that kind and name.

    Raises:
        UnknownNameError: If there is none; the message offers the nearest names.
    """
    by_name = {entry.name: entry for entry in entries(kind)}
    try:
        return by_name[canonical_name(name)]
    except KeyError:
        raise UnknownNameError(kind, name, by_name) from None


def is_known(kind: Kind, name: str) -> bool:
    """Whether there is an entry of that kind and name."""
    return any(entry.name == canonical_name(name) for entry in entries(kind))


def load(kind: Kind, name: str) -> Any:
    """The object of that kind and name; only the module that defines it is imported.

    Raises:
        UnknownNameError: If there is none; the message offers the nearest names.
    """
    module, _, attribute = find(kind, name).target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def dump(every: list[Entry]) -> str:
    """The text of the catalogue file for these entries."""
    ordered = sorted(every, key=lambda entry: (KINDS.index(entry.kind), entry.name))
    return json.dumps([asdict(entry) for entry in ordered], indent=1, ensure_ascii=False) + "\n"
