"""run.json: what a run was started with, and whether a resumption is the same run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from archwright.core.errors import RunFolderError
from archwright.core.text import beginning
from archwright.runs import files, places

FILE_NAME = "run.json"
FORMAT = 1
NONDETERMINISTIC = "nondeterministic"
"""Key of the operations without a deterministic form that the run met, in run.json and result.json; absent without."""

PLACES = "places"
"""Key of where the files lie that the config names (`runs.places`), in run.json."""

_ABSENT = object()


def make_record(
    config: Mapping[str, Any], *, recipe: str, seed: int, threads: int, command: Sequence[str] | None
) -> dict[str, Any]:
    """The record of a run that starts now on this machine.

    Args:
        config: The effective configuration.
        recipe: Name of the recipe.
        seed: Seed of everything random.
        threads: Threads an evaluation uses.
        command: The command line that started it; None if it was started from Python.

    Raises:
        InvalidValueError: If the config is no strict JSON.
    """
    record = {
        "format": FORMAT,
        "recipe": recipe,
        "config": dict(config),
        "seed": seed,
        "threads": threads,
        "versions": versions(),
        "host": {"platform": platform.platform(), "cpu_count": os.cpu_count(), "machine": platform.machine()},
        "command": None if command is None else list(command),
        "started": utc_now(),
    }
    document: dict[str, Any] = files.parse_json(files.json_text(record, "the config of a run"), "the config of a run")
    return document


DATA_OPTIONS: dict[str, type[int] | type[str] | type[float]] = {
    **{"val_images": int, "tokens": int, "vocabulary": int, "level": str, "test_share": float, "links": str},
}
"""Options with which a data set is opened, and their types; `input_shape`, a list, comes in addition."""


def read_record(folder: Path) -> dict[str, Any]:
    """The record in a run's folder; paths of files that the config names lead there from the present folder.

    Raises:
        RunFolderError: If run.json is damaged, was not written by archwright, or has an unknown format.
    """
    path = folder / FILE_NAME
    record = files.read_sealed_json(path)
    if "format" not in record:
        raise RunFolderError(f"{path} is no record of a run; choose another folder")
    if record["format"] != FORMAT:
        known = f"this archwright reads {FORMAT}"
        raise RunFolderError(f"{path} has format {record['format']!r}; {known}; use the version that wrote it")
    kinds = {"recipe": str, "config": dict, "seed": int, "threads": int, "versions": dict}
    wrong = [name for name, kind in kinds.items() if type(record.get(name)) is not kind]
    wrong = wrong or [name for name, is_right in _details(record).items() if not is_right]
    if wrong:
        raise RunFolderError(f"{path} is damaged, {wrong[0]!r} is missing or malformed; restore it from a copy")
    return {**record, "config": places.found_again(record["config"], record.get(PLACES), folder.absolute())}


def _details(record: Mapping[str, Any]) -> dict[str, bool]:
    """Whether what is read again from a record is of its kind; recipes check the rest of their config themselves."""
    config = record["config"]
    options = config.get("data_options", {})
    shape = options.get("input_shape", [1, 1, 1]) if isinstance(options, dict) else None
    return {
        "seed": 0 <= record["seed"] < 2**63,
        "threads": record["threads"] >= 1,
        "config.seed": type(config.get("seed", 0)) is int and 0 <= config.get("seed", 0) < 2**63,
        "config.data": isinstance(config.get("data", ""), str),
        "config.data_options": isinstance(options, dict)
        and options.keys() <= {"input_shape", *DATA_OPTIONS}
        and all(type(options.get(name, kind())) is kind for name, kind in DATA_OPTIONS.items())
        and isinstance(shape, list)
        and len(shape) == 3
        and all(type(side) is int for side in shape),
        CODE_CHANGES: isinstance(changes := record.get(CODE_CHANGES, []), list)
        and all(isinstance(change, dict) for change in changes),
        NONDETERMINISTIC: isinstance(noted := record.get(NONDETERMINISTIC, []), list)
        and all(isinstance(name, str) for name in noted),
    }


CODE, PARAMETERS = "space_code_sha256", "space_parameters_sha256"
"""Keys of a config that identify the code of a user's space; runs of built-in spaces, and older ones, lack them."""

CODE_CHANGES = "code_changes"
"""Key of the changes of a space's code that were accepted, in run.json and result.json; absent without."""

_CONTENTS = {"data": "data_sha256", "latency_table": "latency_table_sha256", "weights": "weights_sha256"}
"""Keys that name a file, and the keys of what is in it."""

_SPACES = ("space", "arch", "architecture.space")


def refuse_differences(
    folder: Path,
    stored: Mapping[str, Any],
    asked: Mapping[str, Any],
    absent: Mapping[str, Any] | None = None,
    *,
    accept_code_change: bool = False,
) -> bool:
    """Refuse to resume with another config, seed, thread count or recipe, since that would mix two runs.

    Files are compared by what is in them, whatever their paths.

    Args:
        folder: The run's, for the message.
        stored: The record the run began with.
        asked: The record it is to go on with.
        absent: What settings, by dotted name, meant in records that lack them.
        accept_code_change: Go on though the code of a user's space was edited, where its parameters are the same.

    Returns:
        Whether the code was edited.

    Raises:
        RunFolderError: If they differ; the message lists each differing key with both values.
    """
    old, new = {**(absent or {}), **_identity(stored)}, _identity(asked)
    differing = {name: (before, now) for name, before, now in _differences(old, new)}
    _forget_spellings(differing, old, new)
    for key in (CODE, PARAMETERS):
        if key not in old or key not in new:
            differing.pop(key, None)
    if "decisions_sha256" in differing:  # which says more
        differing.pop(CODE, None)
        differing.pop(PARAMETERS, None)
    if _minor(stored) != _minor(asked):
        differing.pop(CODE, None)  # each version of Python writes syntax trees of its own
    is_edited = differing.pop(CODE, None) is not None
    advice = "restore the code, or choose another --out"
    if differing.keys() == {PARAMETERS}:
        raise RunFolderError(
            f"{folder} is another run: the code of its space builds other networks now (names or shapes of parameters "
            f"differ); {advice}"
        )
    differing.pop(PARAMETERS, None)
    if differing:
        listed = "; ".join(_told(name, *values) for name, values in differing.items())
        raise RunFolderError(f"{folder} is another run: {listed}; resume with its values or choose another --out")
    if is_edited and not accept_code_change:
        raise RunFolderError(
            f"{folder} is a run of other code: the file of its space, or one that it imports, was edited; {advice}, or "
            "go on with --accept-code-change, which the result will say"
        )
    return is_edited


def _forget_spellings(differing: dict[str, tuple[Any, Any]], old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Leave out what names the same by another path, and digests whose cause is named beside them."""
    for key, sha in _CONTENTS.items():
        if sha in old and sha in new and sha not in differing:
            differing.pop(key, None)
    for key in _SPACES:
        if key in differing and "decisions_sha256" not in differing and _is_same_place(*differing[key]):
            del differing[key]
    for key, sha in _CONTENTS.items():
        causes = {key, "seed"} if key == "data" else {key}
        if causes & differing.keys() or (key == "data" and any(name.startswith("data_options") for name in differing)):
            differing.pop(sha, None)


def _told(name: str, old: Any, new: Any) -> str:
    sources = {sha: key for key, sha in _CONTENTS.items()}
    if name in sources and old is not _ABSENT and new is not _ABSENT:
        return f"what {sources[name].replace('_', ' ')} names has changed since ({name})"
    return f"{name} was {_short(old)} and is now {_short(new)}"


def _is_same_place(old: Any, new: Any) -> bool:
    """Whether two texts name one file, perhaps after a move: its name, and the class in it, are equal."""
    both = [str(text).replace("\\", "/").rpartition("/")[2] for text in (old, new)]
    return both[0] == both[1] and (".py:" in both[0] or both[0].endswith(".json"))


def _minor(record: Mapping[str, Any]) -> list[str]:
    return str(record["versions"].get("python", "")).split(".")[:2]


def with_code_change(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record with one more change of its space's code, which it goes on with from now.

    Args:
        stored: The record so far.
        asked: The record of the process that goes on.
    """
    before, now = stored["config"].get(CODE), asked["config"].get(CODE)
    change = {"time": utc_now(), "from": before, "to": now}
    config = {**stored["config"], CODE: now}
    return {**stored, "config": config, CODE_CHANGES: [*stored.get(CODE_CHANGES, []), change]}


def changed_versions(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Each version that differs, as "torch 2.6.0 → 2.7.0"."""
    changed = _differences(flattened(stored["versions"]), flattened(asked["versions"]))
    return [f"{name} {_plain(old)} → {_plain(new)}" for name, old, new in changed]


def versions() -> dict[str, str]:
    """Versions of Python and the libraries that a result depends on, by name."""
    found = {"python": platform.python_version()}
    for name in ("archwright", "torch", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a source tree
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found


def utc_now() -> str:
    """The time in UTC, written like 2030-01-31T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: record[name] for name in ("recipe", "seed", "threads")}, **flattened(record["config"])}


def flattened(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by dotted name; lists and empty mappings stay whole."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if type(before) is not type(now) or before != now:
            yield name, before, now


def _short(value: Any) -> str:
    return beginning("absent" if value is _ABSENT else repr(value))


def _plain(value: Any) -> str:
    return "absent" if value is _ABSENT else str(value)
