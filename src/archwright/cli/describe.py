"""`archwright describe`: a search space's exact size, its decisions, its smallest and largest network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archwright.cli.options import Json, SpaceSettings, SpaceSpec, parse_space_set
from archwright.cli.text import chatter_on_stderr, columns, human, print_json, print_lines

MAX_SHOWN, N_FIRST = 40, 8
"""Most values of a decision that are shown, and how many of the first are shown if it has more; `--json` has all."""


def describe(
    space: SpaceSpec,
    space_set: SpaceSettings = None,
    json: Json = False,
) -> None:
    """Show a space: exact size, decisions, smallest and largest network."""
    from archwright.costs import describe as describe_space
    from archwright.spaces.opening import open_space, parse_settings

    settings = parse_space_set(space_set or ())
    with chatter_on_stderr():
        document = describe_space(open_space(space, **parse_settings(space, settings)))
    if json:
        print_json(document)
    else:
        print_lines(_lines(document))


def _lines(document: Mapping[str, Any]) -> list[str]:
    size = document["size"]
    facts = [
        ("space", document["space"]),
        ("size", f"{size:,}" + (f" ({size:.2e})" if 10**6 <= size < 10**300 else "")),
    ]
    facts += [(key, _plain(document[key])) for key in ("smallest", "largest")]
    if document["uncounted"]:
        facts.append(("not counted", ", ".join(document["uncounted"])))
    facts += [("inputs" if i == 0 else "", line) for i, line in enumerate(document["inputs"])]
    rows = [(each["name"], _decision(each)) for each in document["decisions"]]
    return [*columns(facts, indent=0), "", f"{len(rows)} decision{'s' * (len(rows) != 1)}", *columns(rows)]


def _decision(decision: Mapping[str, Any]) -> str:
    texts = list(map(str, decision["values"]))
    if len(texts) > MAX_SHOWN:
        texts = [*texts[:N_FIRST], "…", f"{texts[-1]} ({len(texts)} in all)"]
    values = ", ".join(texts)
    return f"{values}   when {_plain(decision['when'])}" if decision.get("when") else values


def _plain(value: Any) -> str:
    """A value of the description in words; its nesting is the space's affair."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return human(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
