"""`archwright train`: one fixed architecture from scratch, to the same files as a search's winner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli.options import parse_assignments
from archwright.cli.search import (
    DEFAULT_DATA,
    DEFAULT_PRESET,
    DEFAULT_SEED,
    Request,
    check_options,
    execute,
    new_folder,
)
from archwright.core.errors import UsageError


def train(
    arch: Annotated[
        str | None,
        typer.Argument(
            metavar="ARCH",
            help="A published name, an arch.json, or SPACE:CODE; a run to --resume knows its own.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="D", help=f"A dataset, as in search.  [default: {DEFAULT_DATA}]")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="smoke|quick|paper",
            help=f"Seconds, minutes, or as papers train.  [default: {DEFAULT_PRESET}]",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help=f"Fixes all that is random.  [default: {DEFAULT_SEED}]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; a new one under runs/ by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, or start it there.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="Threads of the training; part of the result.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="D", help="auto, cpu or cuda.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the estimate.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the training; repeatable.")
    ] = None,
) -> None:
    """Train, test and export one fixed architecture."""
    settings = parse_assignments("--set", set_ or ())
    check_options(settings, seed=seed, threads=threads, resume=resume, out=out)
    if arch is None and not (resume and out is not None and (out / "run.json").exists()):
        raise UsageError("ARCH is missing; give a published name, the path of an arch.json, or SPACE:CODE")
    fields = {"arch": arch, "seed": seed, "threads": threads, "device": device}
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    execute(Request("train", data, preset, given, settings), _load, out or new_folder("train"), resume, dry_run)


def _load() -> Any:
    from archwright.recipes import train as train_recipe

    return train_recipe
