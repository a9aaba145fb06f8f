"""What a network is trained for: data, their parts, loss, metrics and their direction."""

from __future__ import annotations

import inspect
from typing import cast

from archwright.core import catalog
from archwright.core.errors import InvalidValueError
from archwright.tasks.base import Meter, Part, Split, Task
from archwright.tasks.datasets import digits, mnist5k
from archwright.tasks.images import ImageTask
from archwright.tasks.npz_files import npz

__all__ = ["ImageTask", "Meter", "Part", "Split", "Task", "digits", "mnist5k", "npz", "open_task"]


def open_task(spec: str, *, seed: int = 0) -> Task:
    """The task that a `--data` string names: a dataset, and after a colon what it needs, e.g. "npz:PATH".

    Args:
        spec: `digits`, `mnist5k` or `npz:PATH`.
        seed: Draws the validation part.

    Raises:
        UnknownNameError: If no dataset has that name.
        InvalidValueError: If the dataset needs more, or less, than the string gives.
        DataError: If the data cannot be used.
    """
    name, *rest = spec.split(":", 1)
    build = catalog.load("dataset", name)
    needed = [p.name.upper() for p in inspect.signature(build).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    # Only as many colons split as there are parameters: the last may hold some of its own.
    given = rest[0].split(":", len(needed) - 1) if rest and needed else rest
    if len(given) != len(needed) or "" in given:
        accepted = ":".join([catalog.canonical_name(name), *needed])
        raise InvalidValueError(f"data {spec!r} cannot be read; write {accepted}")
    return cast(Task, build(*given, seed=seed))
