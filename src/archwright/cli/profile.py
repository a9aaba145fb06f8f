"""`archwright profile`: a latency table of a space, measured on this machine or on another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archwright.cli import completion
from archwright.cli.boundary import quoted
from archwright.cli.options import (
    Classes,
    SpaceSettings,
    SpaceSpec,
    parse_output,
    parse_path,
    parse_shape,
    parse_space_set,
)
from archwright.cli.text import print_lines
from archwright.core.errors import InvalidValueError

if TYPE_CHECKING:
    from archwright.costs import ProfileConfig, SpaceTable
    from archwright.spaces.base import Space


LEAST_RANKED = 3
"""Networks from which on their order is compared."""


def profile(
    space: SpaceSpec,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The table's file (JSON).", parser=parse_output),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="DIR",
            help="Measure nothing here: write the parts and a script that times them on another machine.",
            parser=parse_path,
        ),
    ] = None,
    measurements: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Measure nothing here: make the table of what the script of --bundle measured.",
            parser=parse_path,
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            metavar="onnxruntime|torch",
            autocompletion=completion.values([("onnxruntime", ""), ("torch", "")]),
            help="Runtime of the networks.  [default: onnxruntime]",
        ),
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Input size; the space's own by default.")
    ] = None,
    classes: Classes = None,
    space_set: SpaceSettings = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="Threads of one forward pass.  [default: 1]")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", metavar="N", help="Timed passes of each part.  [default: 50]")
    ] = None,
) -> None:
    """Measure a latency table of a space: on this machine, or on another by a bundle."""
    how = {"backend": backend, "threads": threads, "repeats": repeats}
    given = {name: value for name, value in how.items() if value is not None}
    _check_way(output, bundle, measurements, given)
    shape = None if input is None else parse_shape(input)
    from archwright.costs import ProfileConfig, read_measurements
    from archwright.spaces.opening import open_space, parse_settings

    config = ProfileConfig(**given)  # type: ignore[arg-type]  # it checks the name of the backend
    asked = {"input_shape": shape, "n_classes": classes}
    sizes = {name: value for name, value in asked.items() if value is not None}
    opened = open_space(space, **parse_settings(space, parse_space_set(space_set or ())), **sizes)
    if bundle is not None:
        _write_bundle(opened, bundle, config, _options(input, classes, space_set))
        return
    assert output is not None
    table = _measured(opened, config, output) if measurements is None else read_measurements(measurements, opened)
    table.save(output)
    unfinished(output).unlink(missing_ok=True)
    print_lines([*_lines(table.to_json()), *_origin_lines(table), f"wrote {output}"])


def _check_way(output: Path | None, bundle: Path | None, measurements: Path | None, given: Mapping[str, Any]) -> None:
    """Refuse options that belong to different ways to a table.

    Raises:
        InvalidValueError: Says which to leave out.
    """
    if bundle is not None and measurements is not None:
        raise InvalidValueError("--bundle writes what is to be measured, --from reads what was; give one of them")
    if bundle is not None and output is not None:
        raise InvalidValueError("--bundle measures no table, so there is none for -o; leave -o out")
    if bundle is None and output is None:
        raise InvalidValueError(
            "no file is given for the table; add -o FILE, or --bundle DIR to measure on another machine"
        )
    if bundle is not None and given.get("backend") == "torch":
        raise InvalidValueError("--bundle is measured in ONNX Runtime, not in torch; leave --backend out")
    if measurements is not None and given:
        raise InvalidValueError(
            f"--from reads how it was measured from its file; leave {' and '.join(f'--{name}' for name in given)} out"
        )


def _options(input: str | None, classes: int | None, space_set: Sequence[str] | None) -> list[str]:
    """The options that give a space again."""
    sizes = [f"--{name}={value}" for name, value in (("input", input), ("classes", classes)) if value is not None]
    return [*sizes, *(f"--space-set={text}" for text in space_set or ())]


def _write_bundle(space: Space, folder: Path, config: ProfileConfig, options: Sequence[str]) -> None:
    from archwright.costs import write_bundle
    from archwright.costs.profiling.bundle import check_new

    check_new(folder)
    with _progress("bundle") as advance:
        bundle = write_bundle(space, folder, config, options=options, advance=advance)
    print_lines(
        [
            f"wrote {folder}: {bundle.n_parts} parts, {bundle.n_bytes / 1e6:.1f} MB",
            f"on the device: python3 {folder / 'measure.py'} (needs onnxruntime and numpy)",
            f"then here: archwright {quoted('profile', space.name, *options, '--from', 'measurements.json')} -o FILE",
        ]
    )


def _measured(space: Space, config: ProfileConfig, output: Path) -> SpaceTable:
    """The table; what is timed is kept beside its file, so that the same command goes on where it was stopped."""
    from archwright.core.config import to_json
    from archwright.core.errors import RunFolderError
    from archwright.costs import profile as measure
    from archwright.runs.files import read_sealed_json, write_sealed_json

    asked = {"space": space.name, "args": space.args(), "decisions": space.decisions.fingerprint, **to_json(config)}
    path, timed, spreads = unfinished(output), dict[str, float](), dict[str, float]()
    try:
        stored = read_sealed_json(path)
        if stored.get("asked") == asked:
            timed, spreads = stored["timed"], stored["spreads"]
    except RunFolderError:  # there is none, or it is damaged: all is timed anew
        pass
    with _progress("profile") as advance:

        def kept(done: int, total: int) -> None:
            write_sealed_json(path, {"asked": asked, "timed": timed, "spreads": spreads})
            advance(done, total)

        return measure(space, config, timed=timed, spreads=spreads, advance=kept)


def unfinished(output: Path) -> Path:
    """The file of a measurement that is not finished, beside the table's."""
    return output.with_name(f"{output.name}.unfinished")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A phase of work whose progress is shown."""
    from archwright.runs.progress import make_progress
    from archwright.runs.run import open_run

    with open_run(None, {}, seed=0, progress=make_progress(sys.stderr)) as run, run.phase(name) as phase:

        def advance(done: int, total: int) -> None:
            phase.total = total
            phase.advance(done)

        yield advance
        phase.finish()


def _origin_lines(table: SpaceTable) -> list[str]:
    """Where a table was measured, if it was elsewhere, and how steady that machine was."""
    from archwright.costs.tables.latencies import machine_text

    machine = table.machine or {}
    if "drift" not in machine:
        return _steady_lines(machine.get("spread"))
    clocks = [run[when] for run in machine["runs"] for when in ("clock_before", "clock_after") if run[when]]
    governors = sorted({name for clock in clocks for name in clock["governors"] or ()})
    mhz = [one for clock in clocks for one in clock["current_mhz"] or ()]
    clock = [f"governor {', '.join(governors)}" if governors else "", f"{min(mhz)} to {max(mhz)} MHz" if mhz else ""]
    drift = (
        "" if machine["drift"] is None else f"one network timed again and again: {100 * machine['drift']:.1f} % apart"
    )
    return [
        f"measured on {machine_text(machine)}, ONNX Runtime {machine['versions']['onnxruntime']}",
        f"clock: {', '.join(filter(None, clock)) or 'unknown'}; {drift}",
        "",
    ]


def _steady_lines(spread: Mapping[str, Any] | None) -> list[str]:
    """How steady the passes of the parts were."""
    if spread is None:
        return []
    most = f"{100 * spread['most']:.0f} % of {spread['part']}"
    return [
        f"quartiles of the passes of a part: {100 * spread['median']:.0f} % apart in the middle, at most {most}",
        "",
    ]


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
    held_out = [one for one in checked if not one["fitted"] and one["measured"]]
    errors = [abs(one["predicted"] / one["measured"] - 1) for one in held_out]
    if not errors:
        return []
    line = f"off by {100 * sum(errors) / len(errors):.1f} % in the mean over the {len(errors)} not fitted to"
    if len(held_out) < LEAST_RANKED:
        return [line]
    from archwright.core.correlation import kendall

    tau = kendall([one["predicted"] for one in held_out], [one["measured"] for one in held_out])
    return [f"{line}; Kendall's tau of their order {tau:.2f}"]
