"""`archwright profile`: measure a latency table of a space on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli import completion
from archwright.cli.options import Classes, SpaceSettings, SpaceSpec, parse_output, parse_shape, parse_space_set
from archwright.cli.text import print_lines


def profile(
    space: SpaceSpec,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The table's file (JSON).", parser=parse_output)
    ],
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="onnxruntime|torch",
            autocompletion=completion.values([("onnxruntime", ""), ("torch", "")]),
            help="Runtime of the networks.",
        ),
    ] = "onnxruntime",
    input: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Input size; the space's own by default.")
    ] = None,
    classes: Classes = None,
    space_set: SpaceSettings = None,
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="Threads of one forward pass.")] = 1,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", help="Timed passes of each part.")] = 50,
) -> None:
    """Measure a latency table of a space on this machine."""
    shape = None if input is None else parse_shape(input)
    from archwright.costs import ProfileConfig
    from archwright.costs import profile as measure
    from archwright.runs.progress import make_progress
    from archwright.runs.run import open_run
    from archwright.spaces.opening import open_space, parse_settings

    config = ProfileConfig(backend, threads, repeats=repeats)  # type: ignore[arg-type]  # it checks the name
    sizes = {"input_shape": shape, "n_classes": classes}
    given = {name: value for name, value in sizes.items() if value is not None}
    opened = open_space(space, **parse_settings(space, parse_space_set(space_set or ())), **given)
    with open_run(None, {}, seed=0, progress=make_progress(sys.stderr)) as run, run.phase("profile") as phase:

        def advance(done: int, total: int) -> None:
            phase.total = total
            phase.advance(done)

        table = measure(opened, config, advance=advance)
        phase.finish()
    table.save(output)
    print_lines([*_lines(table.to_json()), f"wrote {output}"])


def _lines(document: Mapping[str, Any]) -> list[str]:
    made = document["space_args"]
    shape = (
        "x".join(map(str, made["input_shape"]))
        if "input_shape" in made
        else ", ".join(f"{k} {v}" for k, v in made.items())
    )
    threads = document["threads"]
    lines = [
        f"{document['space']} at {shape} in {document['backend']}, {threads} thread{'s' if threads > 1 else ''}: "
        f"{len(document['entries'])} entries",
        f"predicted = {document['factor']:.4g} x (sum of entries + {document['base']:.4g} ms) "
        f"{'+' if document['intercept'] >= 0 else '-'} {abs(document['intercept']):.4g} ms",
        "",
        f"{'predicted':>12}  {'measured':>12}  whole network",
    ]
    for one in document["checked"]:
        use = "" if not one["fitted"] else "  (the line is fitted to it)"
        lines.append(f"{one['predicted']:>9.4g} ms  {one['measured']:>9.4g} ms  {one['arch']}{use}")
    return [*lines, *_error_line(document["checked"]), ""]


def _error_line(checked: Sequence[Mapping[str, Any]]) -> list[str]:
    errors = [abs(one["predicted"] / one["measured"] - 1) for one in checked if not one["fitted"] and one["measured"]]
    if not errors:
        return []
    return [f"off by {100 * sum(errors) / len(errors):.1f} % in the mean over the {len(errors)} not fitted to"]
