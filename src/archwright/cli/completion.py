"""Shell completion with the names of the catalogue, which is one JSON file, so that it need not import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from archwright.core import catalog

Completion = Callable[[str], list[tuple[str, str]]]
"""Gives the possible values for the text typed so far, each with a line of help."""

PRESETS = {
    "smoke": "seconds, to try things",
    "quick": "minutes on two cores",
    "long": "an hour, as quick shares it",
    "paper": "the numbers of the paper",
}
DEVICES = {"auto": "a GPU where there is one", "cpu": "", "cuda": ""}


def names(kind: catalog.Kind) -> Completion:
    """Completes names of a kind, in any spelling (`NASNet_A` finds `nasnet-a`)."""
    return lambda incomplete: _matching(incomplete, _entries(kind))


def values(accepted: Iterable[tuple[str, str]]) -> Completion:
    """Completes a fixed set of values, given with their help."""
    known = list(accepted)
    return lambda incomplete: _matching(incomplete, known)


def datasets(incomplete: str) -> list[tuple[str, str]]:
    """Completes `--data`; a name that needs a path ends in a colon."""
    every = [(f"{name}:" if f"{name}:" in summary else name, summary) for name, summary in _entries("dataset")]
    return _matching(incomplete, every)


def limits(incomplete: str) -> list[tuple[str, str]]:
    """Completes the name in `--limit COST=VALUE`."""
    return _matching(incomplete, [(f"{name.replace('-', '_')}=", summary) for name, summary in _entries("cost")])


def architectures(incomplete: str) -> list[tuple[str, str]]:
    """Completes published names, and spaces with the colon that comes before a code."""
    spaces = [(f"{name}:", summary) for name, summary in _entries("space")]
    return _matching(incomplete, [*_entries("architecture"), *spaces])


def _entries(kind: catalog.Kind) -> Iterator[tuple[str, str]]:
    return ((entry.name, entry.summary) for entry in catalog.entries(kind))


def _matching(incomplete: str, every: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that begin with what is typed; an underscore is as good as a hyphen."""
    typed = catalog.canonical_name(incomplete)
    return [(value, text) for value, text in every if catalog.canonical_name(value).startswith(typed)]
