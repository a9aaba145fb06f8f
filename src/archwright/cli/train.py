"""`archwright train`: one fixed architecture, to the same files as a search's winner."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archwright.cli import completion
from archwright.cli.options import (
    AcceptCodeChange,
    Augment,
    Averaged,
    Data,
    Device,
    DryRun,
    Ignore,
    Input,
    Out,
    Plan,
    Preset,
    Resume,
    Seed,
    Settings,
    SpaceSettings,
    Threads,
    Time,
    ValImages,
    Weights,
    parse_assignments,
    parse_data_options,
    parse_space_set,
    parse_time_options,
    split_settings,
    weights_fields,
)
from archwright.cli.search import Request, check_options, execute, new_folder
from archwright.core.errors import UsageError


def train(
    arch: Annotated[
        str | None,
        typer.Argument(
            metavar="ARCH",
            autocompletion=completion.architectures,
            help="A published name, an arch.json or its folder, or SPACE:CODE; not needed with --resume.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    val_images: ValImages = None,
    input_: Input = None,
    preset: Preset = None,
    weights: Weights = None,
    ignore: Ignore = None,
    averaged: Averaged = False,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    accept_code_change: AcceptCodeChange = False,
    threads: Threads = None,
    device: Device = None,
    dry_run: DryRun = False,
    augment: Augment = None,
    time: Time = None,
    plan: Plan = None,
    space_set: SpaceSettings = None,
    set_: Settings = None,
) -> None:
    """Train, test and export one fixed architecture."""
    settings, data_options = split_settings(parse_assignments("--set", set_ or ()))
    check_options(settings, seed=seed, threads=threads, resume=resume, out=out)
    if arch is None and not (resume and out is not None and (out / "run.json").exists()):
        raise UsageError("ARCH is missing; give a published name, an arch.json or its folder, or SPACE:CODE")
    fields = {"arch": arch, "seed": seed, "threads": threads, "device": device}
    fields |= weights_fields(weights, ignore, averaged=averaged)
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    given |= parse_time_options(time, plan)
    data_options |= parse_data_options(val_images, input_)
    request = Request("train", data, preset, given, settings, data_options, parse_space_set(space_set or ()), augment)
    folder = out or new_folder("train")
    execute(request, _load, folder, resume, dry_run, accept_code_change=accept_code_change)


def _load() -> Any:
    from archwright.recipes import train as train_recipe

    return train_recipe
