"""`archwright search`: run a recipe on a dataset, from a search to an exported network."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli.boundary import quoted, run_errors
from archwright.cli.options import parse_assignments, parse_count, parse_limits, parse_shape
from archwright.cli.text import print_lines
from archwright.core import catalog
from archwright.core.config import from_json, to_json, with_settings
from archwright.core.errors import InvalidValueError, RunFolderError, UsageError

DEFAULT_DATA, DEFAULT_PRESET, DEFAULT_SEED = "digits", "quick", 0
RUNS = Path("runs")
"""Where a run without --out goes."""

Limits = tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for; None is what the command line does not say, which a resumed run knows itself."""

    recipe: str
    data: str | None
    preset: str | None
    fields: Mapping[str, Any]
    settings: Mapping[str, str]
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def search(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A method; `archwright list recipes` names them.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help=f"digits, mnist5k, npz:PATH, folder:PATH or torchvision:NAME:ROOT.  [default: {DEFAULT_DATA}]",
        ),
    ] = None,
    val_images: Annotated[
        str | None,
        typer.Option("--val-images", metavar="N", help="Training images that validate.  [default: 10 % of a class]"),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="What images of files become.  [default: by the images]"),
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", metavar="S", help="A name, package.module:Class or file.py:Class.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="smoke|quick|paper",
            help=f"Seconds, minutes, or the paper's own numbers.  [default: {DEFAULT_PRESET}]",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="COST=VALUE", help="Upper limit on a cost; repeatable.")
    ] = None,
    max_macs: Annotated[
        str | None, typer.Option("--max-macs", metavar="N", help="Limit on multiply-accumulates, like 20M.")
    ] = None,
    max_params: Annotated[str | None, typer.Option("--max-params", metavar="N", help="Limit on parameters.")] = None,
    max_latency_ms: Annotated[
        str | None, typer.Option("--max-latency-ms", metavar="X", help="Limit on milliseconds an image.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help=f"Fixes all that is random.  [default: {DEFAULT_SEED}]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; a new one under runs/ by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, or start it there.")] = False,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Processes that evaluate.")] = 1,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="Threads of one evaluation; part of the result.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="D", help="auto, cpu or cuda.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the estimate.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the recipe; repeatable.")
    ] = None,
) -> None:
    """Find, retrain, test and export a network."""
    limits = parse_limits(limit or (), macs=max_macs, params=max_params, latency_ms=max_latency_ms)
    fields = {"limits": limits or None, "seed": seed, "space": space, "threads": threads, "device": device}
    given = {name: value for name, value in fields.items() if value is not None}
    settings, data_options = parse_assignments("--set", set_ or ()), _data_options(val_images, input_)
    request = Request(recipe, data, preset, given, settings, data_options)
    if "seed" in request.settings:
        # the data are split by the seed before settings can be read
        raise UsageError("--set names 'seed'; use --seed")
    if workers != 1:
        raise UsageError(f"--workers is {workers}; this version evaluates in one process, so give 1")
    if seed is not None and not 0 <= seed < 2**63:
        raise InvalidValueError(f"--seed is {seed}; give a number from 0 to 2**63 - 1")
    if threads is not None and threads < 1:
        raise InvalidValueError(f"--threads is {threads}; give at least 1")
    if resume and out is None:
        raise UsageError("--resume does not say which run; add --out DIR")
    execute(request, out or _new_folder(recipe), resume=resume, dry_run=dry_run)


def execute(request: Request, out: Path, *, resume: bool, dry_run: bool) -> None:
    """Run what was requested in the folder `out` and print what came out."""
    _check_folder(out)
    run_recipe: Any = catalog.load("recipe", request.recipe)
    again = quoted("search", request.recipe, "--out", out, "--resume")
    with run_errors(out, again):
        from archwright.runs.progress import make_progress
        from archwright.tasks import open_task

        stored = _stored_config(out) if resume else {}
        data = request.data or str(stored.get("data", DEFAULT_DATA))
        data_options = {**stored.get("data_options", {}), **request.data_options}
        seed = int(request.fields.get("seed", stored.get("seed", DEFAULT_SEED)))
        task = open_task(data, seed=seed, **data_options)
        config = effective_config(request, run_recipe.config, stored, task.input_shape)
        if dry_run or not (resume and (out / "result.json").exists()):
            print_lines(run_recipe.estimate(config, task))
        if not dry_run:
            result = run_recipe(config, task, out=out, resume=resume, progress=make_progress(sys.stderr))
            print_lines(result.summary())


def effective_config(request: Request, cls: Any, stored: Mapping[str, Any], input_shape: tuple[int, ...]) -> Any:
    """The recipe's config: its preset, or that of the run to resume, changed by the options and then by `--set`.

    Args:
        request: What the command line says.
        cls: The recipe's config class.
        stored: Config of the run to resume; empty for a new run.
        input_shape: Shape of one input of the task; presets depend on it.

    Raises:
        UsageError: If a name or value fits no setting, or the recipe has no setting for an option.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    kept = {name: value for name, value in stored.items() if name in names}
    if kept and request.preset is None:
        config = from_json(cls, kept)
    else:
        config = cls.preset(request.preset or DEFAULT_PRESET, input_shape)
        # options that are not given are the stored run's also where the preset is given again
        options = {name: kept[name] for name in ("limits", "seed", "space", "threads", "device") if name in kept}
        config = from_json(cls, {**to_json(config), **options})
    for name in request.fields:
        if name not in names:
            raise InvalidValueError(f"recipe {request.recipe!r} has no {name}; leave that option out")
    return with_settings(dataclasses.replace(config, **request.fields), request.settings)


def _stored_config(out: Path) -> dict[str, Any]:
    """The config in a run's folder; empty where no run has started yet."""
    from archwright.runs.record import FILE_NAME, read_record

    if not (out / FILE_NAME).exists():
        return {}
    config: dict[str, Any] = read_record(out)["config"]
    return config


def _data_options(val_images: str | None, input_: str | None) -> dict[str, Any]:
    """What was said about the data beside their name, as `open_task` takes it."""
    options: dict[str, Any] = {}
    if val_images is not None:
        options["val_images"] = parse_count("--val-images", val_images)
    if input_ is not None:
        if len(shape := parse_shape(input_)) != 3:
            raise InvalidValueError(f"--input is {input_!r}; give channels x height x width, like 3x224x224")
        options["input_shape"] = shape
    return options


def _check_folder(out: Path) -> None:
    """Refuse a path that the system cannot even look up: too long, or in a folder that is closed to us."""
    try:
        out.exists()
    except (OSError, ValueError) as error:
        raise RunFolderError(f"--out {str(out)!r} cannot be used: {error}; choose another folder") from None


def _new_folder(recipe: str) -> Path:
    """The first folder runs/RECIPE-N that does not exist."""
    name = catalog.find("recipe", recipe).name
    return next(path for n in itertools.count(1) if not (path := RUNS / f"{name}-{n}").exists())
