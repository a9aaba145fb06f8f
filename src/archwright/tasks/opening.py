"""Open the task that `--data` names."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from archwright.core import catalog
from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks.base import Task


def open_task(
    spec: str,
    *,
    seed: int = 0,
    val_images: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    **more: Any,
) -> Task:
    """The task that a `--data` string names: a dataset, and after colons what it needs, e.g. "npz:PATH".

    What a run was started with opens again by `open_task(data, seed=seed, **data_options)` of its config.

    Args:
        spec: `digits`, `mnist5k`, `npz:PATH`, `folder:PATH`, `torchvision:NAME:ROOT`, `text:PATH` or `pydoc`.
        seed: Draws the validation part.
        val_images: Images in the validation part, drawn from the training images; 10 % of each class if not given.
        input_shape: (C, H, W) that images are brought to, for datasets that can.
        more: Options of the one dataset, as its function takes them: numbers or texts, a number also as its text.

    Raises:
        UnknownNameError: If no dataset has that name.
        InvalidValueError: If the dataset needs more, or less, than the string gives, or cannot meet an option.
        DataError: If the data cannot be used.
    """
    name, *rest = spec.split(":", 1)
    build = _builder(spec)
    parameters = inspect.signature(build).parameters
    needed = [p.name.upper() for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]
    # Only as many colons split as there are parameters: the last may hold some of its own.
    given = rest[0].split(":", len(needed) - 1) if rest and needed else rest
    given = [os.path.expanduser(each) for each in given]  # a shell expands ~ only where a word begins with it
    if len(given) != len(needed) or "" in given:
        accepted = ":".join([catalog.canonical_name(name), *needed])
        raise InvalidValueError(f"data {spec!r} cannot be read; write {accepted}")
    options = {key: _option(spec, key, value, parameters) for key, value in more.items()}
    if val_images is not None:
        if "val_images" not in parameters:
            raise InvalidValueError(f"data {spec!r} are no images; leave the number of them (--val-images) out")
        options["val_images"] = val_images
    if input_shape is not None:
        if "input_shape" not in parameters:
            what = f"images of {spec!r}" if "val_images" in parameters else f"inputs of {spec!r}"
            raise InvalidValueError(f"{what} stay as they are; leave the input's shape (--input) out")
        options["input_shape"] = tuple(input_shape)
    return cast(Task, build(*given, seed=seed, **options))


def smoke_options(spec: str) -> dict[str, Any]:
    """Data options of a smoke run: short inputs for texts, none for images.

    Raises:
        UnknownNameError: If no dataset has that name.
    """
    options: dict[str, Any] = getattr(_builder(spec), "smoke", {})
    return dict(options)


def _option(spec: str, name: str, value: Any, parameters: Mapping[str, inspect.Parameter]) -> Any:
    """An option of one dataset in the type its function takes.

    Raises:
        InvalidValueError: If it takes none of that name or type.
    """
    common = ("seed", "val_images", "input_shape")
    own = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in common]
    if name not in own:
        accepted = f"it has {', '.join(own)}" if own else "it has none"
        raise InvalidValueError(f"data {spec!r} have no option {name!r}; {accepted}")
    if "int" not in str(parameters[name].annotation) or type(value) is int:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        raise InvalidValueError(f"option {name} of data {spec!r} is {value!r}; give a whole number")
    return int(value)


def _builder(spec: str) -> Any:
    """The function that makes the dataset a `--data` string begins with.

    Raises:
        UnknownNameError: If no dataset has that name.
        InvalidValueError: If it is a path without its kind; says how to write it.
    """
    name = spec.split(":", 1)[0]
    if not catalog.is_known("dataset", name) and (meant := _as_path(spec)):
        raise InvalidValueError(f"data {spec!r} name no dataset; for what lies at that path write {meant}")
    return catalog.load("dataset", name)


def _as_path(spec: str) -> str:
    """The right spelling of a path that was given without its kind; empty where the text is no path."""
    try:
        path = Path(spec)
        kind = "folder" if path.is_dir() else "npz" if path.is_file() or path.suffix == ".npz" else ""
        kind = "text" if kind != "folder" and path.suffix in (".txt", ".md", ".tokens") else kind
    except (OSError, ValueError):  # a text that can be no path
        return ""
    return f"{kind}:{spec}" if kind else ""


def reopen_task(spec: str, seed: int, options: Mapping[str, Any], fingerprint: str) -> Task:
    """The task that was opened by this name and these options in another process.

    Args:
        spec: As of `open_task`.
        seed: As of `open_task`.
        options: Its further options by name.
        fingerprint: Of the task in the other process.

    Raises:
        DataError: If the name stands for other data here, or they have changed.
    """
    task = open_task(spec, seed=seed, **options)
    if task.fingerprint != fingerprint:
        raise DataError(f"data {spec!r} are not those the search began with; leave them unchanged while it runs")
    return task
