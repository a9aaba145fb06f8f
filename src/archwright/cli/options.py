"""Options that several commands share, and what their text means."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from archwright.cli import completion
from archwright.core import catalog
from archwright.core.config import parse_quantity
from archwright.core.errors import InvalidValueError, UsageError

DATA_PREFIX = "data."
DATA_FLAGS = {"spec": "--data", "seed": "--seed", "val_images": "--val-images", "input_shape": "--input"}
DEFAULT_DATA, DEFAULT_PRESET, DEFAULT_SEED = "digits", "quick", 0


def parse_path(text: str) -> Path:
    """A path the system can look up; whether anything is there is the command's affair.

    Raises:
        typer.BadParameter: If it is empty, holds a zero byte, is too long, or leads through a loop of links.
    """
    if not text:
        raise typer.BadParameter("'' names nothing; give a path, '.' for the working folder")
    try:
        os.stat(text)
    except ValueError:  # a zero byte, or half a surrogate pair
        raise typer.BadParameter(f"{text!r} can be no path on this system; give another") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise typer.BadParameter(f"{text!r} cannot be looked up: {error.strerror}; give another path") from None
    return Path(text)


def parse_output(text: str) -> Path:
    """The path of a file to write: a new one, or a regular file that is replaced.

    Raises:
        typer.BadParameter: If it is a folder or device, or its folder can be none.
    """
    path = parse_path(text)
    if path.is_dir():
        raise typer.BadParameter(f"{text!r} is a folder; give the file to write")
    if os.path.lexists(path) and not path.is_file():
        raise typer.BadParameter(f"{text!r} is no regular file; give a new name, or a file to replace")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise typer.BadParameter(
            f"{text!r} cannot be written: {str(above)!r} is no folder that takes files; choose another"
        )
    return path


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="D",
        autocompletion=completion.datasets,
        help=(
            "digits, mnist5k, npz:PATH, folder:PATH, torchvision:NAME:ROOT, text:PATH or pydoc.  "
            f"[default: {DEFAULT_DATA}]"
        ),
    ),
]
ValImages = Annotated[
    str | None,
    typer.Option(
        "--val-images", metavar="N", help="Images held out of training for validation.  [default: 10 % of each class]"
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="CxHxW", help="Resize images from files to this size.  [default: chosen from the images]"
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="smoke|quick|long|paper",
        autocompletion=completion.values(completion.PRESETS.items()),
        help=f"Seconds, minutes, an hour, or the paper's own numbers.  [default: {DEFAULT_PRESET}]",
    ),
]
ArchSpec = Annotated[
    str,
    typer.Argument(
        metavar="ARCH",
        autocompletion=completion.architectures,
        help="A published name, an arch.json or its folder, or SPACE:CODE.",
    ),
]
SpaceSpec = Annotated[
    str,
    typer.Argument(
        metavar="SPACE",
        autocompletion=completion.names("space"),
        help="A name, package.module:Class or file.py:Class.",
    ),
]
ArchInput = Annotated[
    str | None, typer.Option("--input", metavar="CxHxW", help="Input size; the architecture's own by default.")
]
Classes = Annotated[int | None, typer.Option("--classes", metavar="N", help="Number of classes (network outputs).")]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help=f"Seed of everything random.  [default: {DEFAULT_SEED}]")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Folder of the run; a new one under runs/ by default.", parser=parse_path
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out; with --data, or start it there.")]
AcceptCodeChange = Annotated[
    bool,
    typer.Option("--accept-code-change", help="Continue although your space's code was edited; the result says so."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="Threads of one evaluation; part of the result.  [default: the faster of one and all]",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="D",
        autocompletion=completion.values(completion.DEVICES.items()),
        help="Where to compute: auto, cpu or cuda.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the estimate.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting of the recipe, or of the data as data.KEY; repeatable."
    ),
]


Augment = Annotated[
    str | None,
    typer.Option(
        "--augment",
        metavar="A",
        help="Random changes of training images: none, or crop, mirror, jitter, auto, comma-joined; crop by default.",
    ),
]

Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Begin with these weights, e.g. a run's best/model.safetensors; a search's supernet does.",
    ),
]

Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="NAME", help="A part, such as the classifier, that begins anew all the same; repeatable."
    ),
]

Averaged = Annotated[
    bool, typer.Option("--averaged", help="Of --weights, take the moving average that a torch file has beside them.")
]

Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="T",
        help="How long the whole run may take, like 15m: shared among search, final trainings and baselines.",
        show_default=False,
    ),
]

Plan = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="DIR",
        help="Repeat the lengths that the run in DIR chose for its --time.",
        show_default=False,
    ),
]

SpaceSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--space-set",
        metavar="KEY=VALUE",
        help="A setting of the space, like cells=1; repeatable, or a comma list of several.",
    ),
]


def parse_space_set(texts: Iterable[str]) -> dict[str, str]:
    """Settings of a space by name, from texts like `channels=8,cells=1`; a piece without `=` goes on with the value.

    >>> parse_space_set(["channels=8,cells=1", "widths=16,24"])
    {'channels': '8', 'cells': '1', 'widths': '16,24'}

    Raises:
        InvalidValueError: If a text does not begin with a name and `=`, or a name comes twice.
    """
    parts: list[str] = []
    for text in texts:
        for i, piece in enumerate(text.split(",")):
            if i and "=" not in piece:
                parts[-1] += f",{piece}"
            else:
                parts.append(piece)
    return parse_assignments("--space-set", parts)


def parse_shape(text: str) -> tuple[int, ...]:
    """An input's shape without the batch, written like 3x224x224.

    >>> parse_shape("3x224x224")
    (3, 224, 224)

    Raises:
        InvalidValueError: If the text is no such shape or a side is zero.
    """
    sides = tuple(int(side) for side in text.split("x")) if re.fullmatch(r"[0-9]{1,6}(x[0-9]{1,6})*", text) else ()
    if not sides or min(sides) < 1:
        raise InvalidValueError(f"--input is {text!r}; give channels x height x width, like 3x224x224")
    return sides


def weights_fields(weights: str | None, ignore: list[str] | None, *, averaged: bool) -> dict[str, Any]:
    """The settings of `--weights`, `--ignore` and `--averaged`; None for one that is not given.

    Args:
        weights: A file.
        ignore: Names of parts that begin anew.
        averaged: Take the moving average of the weights.
    """
    return {"weights": weights, "ignore": tuple(ignore) if ignore else None, "averaged": averaged or None}


def parse_time_options(time: str | None, plan: Path | None) -> dict[str, Any]:
    """The settings of `--time` and `--plan`; none that is not given.

    Args:
        time: A text like 15m.
        plan: The folder of a run with a plan.

    Raises:
        UsageError: If it is no time, or no such folder.
    """
    found: dict[str, Any] = {}
    if time is not None:
        from archwright.recipes.planning import parse_time

        found["time_s"] = parse_time(time)
    if plan is not None:
        from archwright.runs.lengths import FILE_NAME, read_plan

        found["plan"] = read_plan(plan / FILE_NAME)
    return found


def parse_count(option: str, text: str) -> int:
    """A number of things, which may be written like 50k.

    >>> parse_count("--val-images", "50k")
    50000

    Raises:
        InvalidValueError: If the text is no positive whole number.
    """
    try:
        number = parse_quantity(text)
    except InvalidValueError:
        number = 0.0
    if number < 1 or number != int(number):
        raise InvalidValueError(f"{option} is {text!r}; give a positive whole number like 500 or 50k")
    return int(number)


def parse_data_options(val_images: str | None, input_shape: str | None) -> dict[str, Any]:
    """What was said about the data beside their name, as `open_task` takes it.

    Raises:
        InvalidValueError: If one is no count, or no shape of images.
    """
    options: dict[str, Any] = {}
    if val_images is not None:
        options["val_images"] = parse_count("--val-images", val_images)
    if input_shape is not None:
        if len(shape := parse_shape(input_shape)) != 3:
            raise InvalidValueError(f"--input is {input_shape!r}; give channels x height x width, like 3x224x224")
        options["input_shape"] = shape
    return options


def split_settings(settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Those of the recipe, and those of the data (`data.KEY`), which are without their prefix.

    >>> split_settings({"n_draws": "2", "data.tokens": "20"})
    ({'n_draws': '2'}, {'tokens': '20'})

    Raises:
        UsageError: If one of the data has an option of its own.
    """
    for name, option in DATA_FLAGS.items():
        if DATA_PREFIX + name in settings:
            raise UsageError(f"--set names {DATA_PREFIX + name!r}; use {option}")
    own = {name: value for name, value in settings.items() if not name.startswith(DATA_PREFIX)}
    return own, {name.removeprefix(DATA_PREFIX): settings[name] for name in settings if name not in own}


def parse_assignments(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Repeated `NAME=VALUE` options by name.

    Raises:
        InvalidValueError: If one has no `=`, no name, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise InvalidValueError(f"{option} is {text!r}; write it as NAME=VALUE")
        if name in found:
            raise InvalidValueError(f"{option} names {name!r} twice; give it once")
        found[name] = value.strip()
    return found


def parse_limits(limits: Iterable[str], **short: str | None) -> tuple[tuple[str, float], ...]:
    """Upper limits of costs, from `--limit COST=VALUE` and the short forms `--max-<cost>`.

    A comma list of values is as many limits on that cost, each of which asks for a winner of its own.

    Args:
        limits: Texts of `--limit`.
        short: Text of each short form by the cost's name; None where it was not given.

    Raises:
        InvalidValueError: If a value is no positive number or a cost is limited twice.
    """
    found = {name.lower().replace("-", "_"): value for name, value in parse_assignments("--limit", limits).items()}
    for cost, value in short.items():
        if value is not None and cost in found:
            raise InvalidValueError(f"{cost} is limited twice, by --limit and by {_short_form(cost)}; give it once")
        if value is not None:
            found[cost] = value
    for cost, value in found.items():
        if "," in value and not all(one.strip() for one in value.split(",")):
            raise InvalidValueError(f"the limit on {cost} is {value!r}; give a number before and after each comma")
    lists = {cost: [_limit(cost, one) for one in value.split(",")] for cost, value in found.items()}
    several = [cost for cost, values in lists.items() if len(values) > 1]
    if len(several) > 1:
        raise InvalidValueError(
            f"the limits on {' and '.join(several)} are lists; give several values to one limit at most, "
            "the others hold for every winner"
        )
    return tuple((cost, value) for cost, values in lists.items() for value in values)


def _limit(cost: str, text: str) -> float:
    try:
        value = parse_quantity(text)
    except InvalidValueError:
        value = 0.0
    if value <= 0:
        raise InvalidValueError(f"the limit on {cost} is {text!r}; give a positive number like 20M, 1.5G or 300k")
    return value


def parse_goals(goals: Iterable[str]) -> tuple[str, ...]:
    """Costs to minimise, from `--goal COST`.

    Raises:
        UnknownNameError: If there is no such cost.
        InvalidValueError: If one is named twice.
    """
    names = [catalog.find("cost", goal).name.replace("-", "_") for goal in goals]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValueError(f"--goal names {name} twice; give it once")
    return tuple(names)


def _short_form(cost: str) -> str:
    return "--max-" + cost.replace("_", "-")
