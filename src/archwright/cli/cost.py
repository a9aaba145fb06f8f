"""`archwright cost`: parameters, multiply-accumulates and memory of one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archwright.cli.options import ArchInput, ArchSpec, Classes, Json, SpaceSettings, parse_shape, parse_space_set
from archwright.cli.text import chatter_on_stderr, columns, human, print_json, print_lines

FIGURES = (
    "params",
    "macs",
    "macs_per_token",
    "flops",
    "bit_ops",
    "memory_access_bytes",
    "activation_peak_bytes",
    "model_size_bytes",
)


def cost(
    arch: ArchSpec,
    input: ArchInput = None,
    classes: Classes = None,
    space_set: SpaceSettings = None,
    json: Json = False,
) -> None:
    """Count what a network costs, without training it."""
    shape = None if input is None else parse_shape(input)
    from archwright.costs import FREE_BY_CONVENTION
    from archwright.costs import cost as cost_of
    from archwright.spaces.opening import open_architecture, parse_settings, space_of

    texts = parse_space_set(space_set or ())
    with chatter_on_stderr():
        opened = open_architecture(arch, **(parse_settings(space_of(arch), texts) if texts else {}))
        document = cost_of(opened.space, opened.arch, input_shape=shape, n_classes=classes)
    if json:
        print_json(document)
    else:
        print_lines([opened.name, *_lines(document, FREE_BY_CONVENTION)])


def _lines(document: Mapping[str, Any], free: Sequence[str]) -> list[str]:
    rows = [("input", _shapes(document["input"]))]
    rows += [(name, _figure(document[name])) for name in FIGURES if name in document]
    uncounted = ", ".join(map(str, document.get("uncounted", ())))
    rows += [("not counted", uncounted or "nothing"), ("zero by convention", ", ".join(free))]
    return columns(rows)


def _shapes(shapes: Sequence[int] | Mapping[str, Sequence[int]]) -> str:
    if isinstance(shapes, Mapping):
        return ", ".join(f"{name} {_shapes(shape)}" for name, shape in shapes.items())
    return "x".join(map(str, shapes))


def _figure(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" + (f" ({human(value)})" if abs(value) >= 1e4 else "")
