"""`archwright cost`: parameters, multiply-accumulates, memory and latency of one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli.options import (
    ArchInput,
    ArchSpec,
    Classes,
    Json,
    SpaceSettings,
    parse_path,
    parse_shape,
    parse_space_set,
)
from archwright.cli.text import chatter_on_stderr, columns, human, print_json, print_lines
from archwright.core.errors import InvalidValueError

FIGURES = (
    "params",
    "macs",
    "macs_by_input",
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
    latency: Annotated[
        bool, typer.Option("--latency", help="Time the network too: batch 1, one thread, on this machine.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="With --latency: predict it by this table of `archwright profile` instead.",
            parser=parse_path,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Count what a network costs, without training it."""
    if table is not None and not latency:
        raise InvalidValueError("--table predicts a latency; add --latency, or leave --table out")
    shape = None if input is None else parse_shape(input)
    from archwright.costs import FREE_BY_CONVENTION, latency_of, open_space_table
    from archwright.costs import cost as cost_of
    from archwright.spaces.opening import open_architecture, parse_settings, space_of

    texts = parse_space_set(space_set or ())
    with chatter_on_stderr():
        opened = open_architecture(arch, **(parse_settings(space_of(arch), texts) if texts else {}))
        sized = opened.space.sized(shape, classes)
        read = None if table is None else open_space_table(table, sized)
        document = cost_of(sized, opened.arch)
        if latency:
            document["latency_ms"] = latency_of(sized, opened.arch, read)
    if json:
        print_json(document)
    else:
        print_lines([opened.name, *_lines(document, FREE_BY_CONVENTION)])


def _lines(document: Mapping[str, Any], free: Sequence[str]) -> list[str]:
    rows = [("input", _shapes(document["input"]))]
    rows += [(name, _figure(document[name])) for name in FIGURES if name in document]
    rows += [_latency(backend, one) for backend, one in document.get("latency_ms", {}).items()]
    uncounted = ", ".join(map(str, document.get("uncounted", ())))
    rows += [("not counted", uncounted or "nothing"), ("zero by convention", ", ".join(free))]
    return columns(rows)


def _latency(backend: str, found: Mapping[str, Any]) -> tuple[str, str]:
    from archwright.costs.tables.latencies import machine_text

    name = "latency_ms" if backend == "onnxruntime" else f"latency_ms.{backend}"
    how = f"{backend}, batch 1, {found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    if "predicted" in found:
        return name, f"{found['predicted']:.4g} ({how}; predicted by a table of {machine_text(found['machine'])})"
    return name, f"{found['median']:.4g} ({how}, median; nine in ten passes stay below {found['p90']:.4g})"


def _shapes(shapes: Sequence[int] | Mapping[str, Sequence[int]]) -> str:
    if isinstance(shapes, Mapping):
        return ", ".join(f"{name} {_shapes(shape)}" for name, shape in shapes.items())
    return "x".join(map(str, shapes))


def _figure(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" + (f" ({human(value)})" if abs(value) >= 1e4 else "")
