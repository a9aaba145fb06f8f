"""`archwright cost`: parameters, multiply-accumulates and memory of one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archwright.cli.options import ArchInput, ArchSpec, Classes, Json, parse_shape
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
    json: Json = False,
) -> None:
    """Count what a network costs, without training it."""
    shape = None if input is None else parse_shape(input)
    from archwright.costs import FREE_BY_CONVENTION
    from archwright.costs import cost as cost_of
    from archwright.spaces import open_architecture

    with chatter_on_stderr():
        opened = open_architecture(arch)
        document = cost_of(opened.space, opened.arch, input_shape=shape, n_classes=classes)
    if json:
        print_json(document)
    else:
        print_lines([opened.name, *_lines(document, FREE_BY_CONVENTION)])


def _lines(document: Mapping[str, Any], free: Sequence[str]) -> list[str]:
    rows = [("input", "x".join(map(str, document["input"])))]
    rows += [(name, _figure(document[name])) for name in FIGURES if name in document]
    uncounted = ", ".join(map(str, document.get("uncounted", ())))
    rows += [("not counted", uncounted or "nothing"), ("zero by convention", ", ".join(free))]
    return columns(rows)


def _figure(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" + (f" ({human(value)})" if abs(value) >= 1e4 else "")
