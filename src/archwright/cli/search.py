"""`archwright search`: run a recipe on a dataset, from a search to an exported network."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli import completion
from archwright.cli.boundary import resume_command, run_errors
from archwright.cli.options import (
    DEFAULT_DATA,
    DEFAULT_PRESET,
    DEFAULT_SEED,
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
    parse_goals,
    parse_limits,
    parse_space_set,
    parse_time_options,
    split_settings,
    weights_fields,
)
from archwright.cli.text import print_lines
from archwright.cli.threads import choose_threads, is_given
from archwright.core import catalog
from archwright.core.config import MAX_THREADS, absent_settings, check_range, from_json, to_json, with_settings
from archwright.core.errors import InvalidValueError, RunFolderError, UsageError

RUNS = Path("runs")
"""Where a run without --out goes."""

MAX_WORKERS = 1024

OPTIONS = (
    "limits",
    "goals",
    "allow_uncounted",
    "arch",
    "weights",
    "ignore",
    "averaged",
    "seed",
    "space",
    "threads",
    "device",
    "time_s",
    "plan",
)
"""Settings with an option of their own."""

Limits = tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for. None stands for what it leaves out; a resumed run then keeps its own value.

    Attributes:
        recipe: Name of the recipe.
        data: `--data`.
        preset: `--preset`.
        fields: Settings with an option of their own, by name, where it is given.
        settings: Texts of `--set` by the setting's name.
        data_options: Options of the data, as `open_task` takes them.
        space_set: Texts of `--space-set` by the setting's name.
        augment: `--augment`.
    """

    recipe: str
    data: str | None
    preset: str | None
    fields: Mapping[str, Any]
    settings: Mapping[str, str]
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    space_set: Mapping[str, str] = dataclasses.field(default_factory=dict)
    augment: str | None = None


@dataclasses.dataclass(frozen=True)
class Workers:
    """How evaluations execute; no part of a run's identity, since no result depends on it."""

    n: int
    trial_timeout_s: float | None

    def runner(self, threads: int) -> Any:
        """The runner for evaluations of so many threads; None is this process."""
        if self.n == 1 and self.trial_timeout_s is None:
            return None
        from archwright.runners import ProcessPool

        cores = os.cpu_count() or 1
        if self.n > 1 and self.n * threads > cores:
            wanted = f"{self.n} workers of {threads} threads each share {cores} cores"
            print(f"note: {wanted}; fewer are faster (--threads is part of the result)", file=sys.stderr)
        return ProcessPool(self.n, threads=threads, trial_timeout_s=self.trial_timeout_s)


def search(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            autocompletion=completion.names("recipe"),
            help="A method; `archwright list recipes` names them.",
        ),
    ],
    data: Data = None,
    val_images: ValImages = None,
    input_: Input = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="S",
            autocompletion=completion.names("space"),
            help="Search space: a name, package.module:Class or file.py:Class.",
        ),
    ] = None,
    preset: Preset = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="COST=VALUE",
            autocompletion=completion.limits,
            help="Upper limit on a cost; repeatable. A list of values (2M,5M) gives a network for each.",
        ),
    ] = None,
    goal: Annotated[
        list[str] | None,
        typer.Option(
            "--goal",
            metavar="COST",
            autocompletion=completion.names("cost"),
            help="Also minimise this cost; the metric still picks the winner; repeatable.",
        ),
    ] = None,
    max_macs: Annotated[
        str | None, typer.Option("--max-macs", metavar="N", help="Limit on multiply-accumulates, like 20M.")
    ] = None,
    max_params: Annotated[str | None, typer.Option("--max-params", metavar="N", help="Limit on parameters.")] = None,
    max_latency_ms: Annotated[
        str | None,
        typer.Option("--max-latency-ms", metavar="X", help="Limit on the latency of one image, in milliseconds."),
    ] = None,
    weights: Weights = None,
    ignore: Ignore = None,
    averaged: Averaged = False,
    allow_uncounted: Annotated[
        bool,
        typer.Option(
            "--allow-uncounted", help="Limit multiply-accumulates although a network has some without a rule."
        ),
    ] = False,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    accept_code_change: AcceptCodeChange = False,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Worker processes that evaluate candidates.")
    ] = 1,
    trial_timeout: Annotated[
        float | None,
        typer.Option("--trial-timeout", metavar="S", help="Stop an evaluation after so many seconds; its trial fails."),
    ] = None,
    threads: Threads = None,
    device: Device = None,
    dry_run: DryRun = False,
    augment: Augment = None,
    time: Time = None,
    plan: Plan = None,
    space_set: SpaceSettings = None,
    set_: Settings = None,
) -> None:
    """Find, retrain, test and export a network."""
    limits = parse_limits(limit or (), macs=max_macs, params=max_params, latency_ms=max_latency_ms)
    goals = parse_goals(goal or ())
    fields = {
        "limits": limits or None,
        "goals": goals or None,
        "allow_uncounted": allow_uncounted or None,
        **weights_fields(weights, ignore, averaged=averaged),
        "seed": seed,
        "space": space,
        "threads": threads,
        "device": device,
    }
    given = {name: value for name, value in fields.items() if value is not None} | parse_time_options(time, plan)
    settings, data_options = split_settings(parse_assignments("--set", set_ or ()))
    data_options |= parse_data_options(val_images, input_)
    request = Request(recipe, data, preset, given, settings, data_options, parse_space_set(space_set or ()), augment)
    check_options(request.settings, seed=seed, threads=threads, resume=resume, out=out)
    check_range("--workers", workers, 1, MAX_WORKERS)
    if trial_timeout is not None and not 0 < trial_timeout < math.inf:
        raise InvalidValueError(f"--trial-timeout is {trial_timeout:g}; give positive seconds")
    folder = out or new_folder(catalog.find("recipe", recipe).name)
    processes = Workers(workers, trial_timeout)
    load = functools.partial(catalog.load, "recipe", recipe)
    execute(request, load, folder, resume, dry_run, processes, accept_code_change=accept_code_change)


def check_options(
    settings: Mapping[str, str], *, seed: int | None, threads: int | None, resume: bool, out: Path | None
) -> None:
    """Refuse values that no run can take, and --resume of an unnamed run.

    Args:
        settings: Texts of `--set` by the setting's name.
        seed: `--seed`; None where it is not given.
        threads: `--threads`; None where it is not given.
        resume: Whether `--resume` is given.
        out: `--out`; None where it is not given.

    Raises:
        UsageError: At the first of them.
    """
    if "seed" in settings:
        # the data are split by the seed before settings can be read
        raise UsageError("--set names 'seed'; use --seed")
    if seed is not None and not 0 <= seed < 2**63:
        raise InvalidValueError(f"--seed is {seed}; give a number from 0 to 2**63 - 1")
    if threads is not None:
        check_range("--threads", threads, 1, MAX_THREADS)
    if resume and out is None:
        raise UsageError("--resume does not say which run; add --out DIR")


def execute(
    request: Request,
    load: Callable[[], Any],
    out: Path,
    resume: bool,
    dry_run: bool,
    workers: Workers | None = None,
    *,
    accept_code_change: bool = False,
) -> None:
    """Run a recipe in a folder, and print the summary of its result.

    Args:
        request: What the command line asks for.
        load: Imports the recipe.
        out: Folder of the run.
        resume: Continue the run in it.
        dry_run: Print the estimate only; nothing is written.
        workers: Processes that evaluate candidates; None for a recipe that evaluates none.
        accept_code_change: Go on though the code of a user's space was edited.

    Raises:
        UsageError: If the data, a setting or the folder cannot be used.
        RunError: If the run fails after its start.
        SystemExit: After SIGINT or SIGTERM; the command that continues is printed.
    """
    run_recipe = load()
    with run_errors(out, resume_command(request.recipe, out)):
        from archwright.recipes.augmenting import augment_lines
        from archwright.runs.ledger import process_age_s
        from archwright.runs.progress import make_progress
        from archwright.runs.run import check_folder
        from archwright.tasks.opening import open_task, smoke_options
        from archwright.training.device import make_deterministic, pick_device

        if not dry_run:  # before anything is measured or printed
            check_folder(out, resume=resume)
        stored = _stored_config(out) if resume else {}
        if resume and not stored and request.data is None:
            raise RunFolderError(
                f"{out} holds no run to go on with (there is no run.json); give the folder of a run, or --data for "
                "a new one to begin there"
            )
        data = str(stored.get("data", DEFAULT_DATA)) if request.data is None else request.data
        small = smoke_options(data) if request.preset == "smoke" and not stored else {}
        data_options = {**small, **stored.get("data_options", {}), **request.data_options}
        seed = int(request.fields.get("seed", stored.get("seed", DEFAULT_SEED)))
        task = open_task(data, seed=seed, **data_options)
        config = effective_config(request, run_recipe.config, stored, task.input_shape)
        make_deterministic(pick_device(config.device))
        given = is_given(request.fields, request.settings, stored)
        if hasattr(run_recipe, "choose"):
            folder, others = out if resume else None, () if given else (1,)
            run_recipe = run_recipe.choose(config, task, folder=folder, spent=process_age_s, other_threads=others)
            config, task = run_recipe.config, run_recipe.task
            if told := run_recipe.lines():
                print_lines(told)
        if dry_run or not (resume and (out / "result.json").exists()):
            config, lines = choose_threads(run_recipe, config, task, given=given, spent=process_age_s)
            same = run_recipe.same(config, task) if hasattr(run_recipe, "same") else []
            found = [f"data       {remark}" for remark in task.remarks]
            print_lines([*found, *lines, *augment_lines(config, task), *same])
        if not dry_run:
            more: dict[str, Any] = {} if workers is None else {"runner": workers.runner(config.threads)}
            more |= {"accept_code_change": True} if accept_code_change else {}
            shown = make_progress(sys.stderr)
            result = run_recipe(config, task, out=out, resume=resume, progress=shown, spent_s=process_age_s(), **more)
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
        config = cls.preset(DEFAULT_PRESET if request.preset is None else request.preset, input_shape)
        # options that are not given are the stored run's also where the preset is given again
        options = {name: kept[name] for name in OPTIONS if name in kept}
        if kept:  # and so is what was done before there was a setting
            options |= {name: value for name, value in absent_settings(config).items() if name in names - kept.keys()}
        config = from_json(cls, {**to_json(config), **options})
    for name in request.fields:
        if name not in names:
            raise InvalidValueError(f"recipe {request.recipe!r} has no {name}; leave that option out")
    config = dataclasses.replace(config, **request.fields)
    is_planned = not {"time_s", "plan"}.isdisjoint(request.fields)
    if is_planned and "n_draws" in names:  # a run of a given time is no study of random networks
        config = dataclasses.replace(config, n_draws=0)
    if request.space_set:
        config = dataclasses.replace(config, space_args=_space_args(config, request))
    if request.augment is not None:
        from archwright.recipes.augmenting import with_augment
        from archwright.tasks.augmenting import parse_augment

        parse_augment(request.augment, "--augment")
        config = with_augment(config, request.augment)
    return with_settings(config, request.settings)


def _space_args(config: Any, request: Request) -> dict[str, Any]:
    """Settings of the space that was named, those of the command line in the place of stored ones."""
    from archwright.recipes.variants import ANY
    from archwright.spaces.opening import parse_settings, space_of

    spec = config.space if hasattr(config, "space") else space_of(config.arch)
    if spec == ANY:
        raise InvalidValueError("--space-set is for a space that is chosen; give --space NAME too, or leave it out")
    return {**config.space_args, **to_json(parse_settings(spec, request.space_set))}


def _stored_config(out: Path) -> dict[str, Any]:
    """The config in a run's folder; empty where no run has started yet."""
    from archwright.runs.record import FILE_NAME, read_record

    if not (out / FILE_NAME).exists():
        return {}
    config: dict[str, Any] = read_record(out)["config"]
    return config


def new_folder(name: str) -> Path:
    """The first folder runs/NAME-N that does not exist."""
    return next(path for n in itertools.count(1) if not (path := RUNS / f"{name}-{n}").exists())
