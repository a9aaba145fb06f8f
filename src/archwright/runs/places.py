"""Where the files lie that a run was started with: it finds them from another folder, and after a move."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEYS = ("data", "space", "arch", "weights", "latency_table")
"""Settings that may name a file."""

Place = Mapping[str, str]
"""A text that names a file: what stands `before` and `after` its path, and the path, `absolute` and `relative` to a
folder that moves with it."""


def noted(config: Mapping[str, Any], folder: Path) -> dict[str, Place]:
    """The place of each file that a config names, by setting.

    Args:
        config: The effective configuration.
        folder: Of the run.
    """
    found = {key: place_of(key, config[key], folder) for key in KEYS if isinstance(config.get(key), str)}
    return {key: place for key, place in found.items() if place is not None}


def place_of(key: str, text: str, folder: Path | None = None) -> Place | None:
    """The place that a setting names, None where there is no such file.

    Args:
        key: The setting.
        text: Its value, such as "npz:images.npz" or "spaces.py:Mine".
        folder: What the relative path begins at; None leaves that out.
    """
    for before, path, after in _readings(key, text):
        if path and os.path.exists(whole := os.path.abspath(os.path.expanduser(path))):
            moving = {} if folder is None else {"relative": _relative(whole, folder)}
            return {"before": before, "absolute": whole, **moving, "after": after}
    return None


def found_again(config: Mapping[str, Any], places: Any, folder: Path) -> dict[str, Any]:
    """The config with each path that no longer leads to its file, as seen from here, replaced by one that does.

    Args:
        config: A stored configuration.
        places: What `noted` gave when it was stored; anything else is left alone.
        folder: Where it was stored.
    """
    changed = dict(config)
    for key, place in places.items() if isinstance(places, Mapping) else ():
        if isinstance(config.get(key), str):
            changed[key] = spelled(config[key], key, place, folder)
    return changed


def spelled(text: str, key: str, place: Any, folder: Path) -> str:
    """A text that names a file, as it is if it still does from here, else with another path.

    Args:
        text: As it was given.
        key: The setting.
        place: See `Place`.
        folder: Where the place was stored.
    """
    if not isinstance(place, Mapping) or not all(isinstance(value, str) for value in place.values()):
        return text
    absolute, relative = place.get("absolute", ""), place.get("relative", "")
    if os.path.basename(absolute) not in {os.path.basename(path) for _, path, _ in _readings(key, text)}:
        return text  # it was changed by hand to another file
    for path in filter(None, (absolute, os.path.normpath(folder / relative) if relative else "")):
        if not os.path.exists(path):
            continue
        if any(_is_same(given, path) for _, given, _ in _readings(key, text)):
            return text
        return f"{place.get('before', '')}{path}{place.get('after', '')}"
    return text


def _readings(key: str, text: str) -> list[tuple[str, str, str]]:
    """What may stand before a path, the path, and what stands after it."""
    if key == "data":
        kind, colon, rest = text.partition(":")
        name, second, root = rest.partition(":")
        return [(f"{kind}:", rest, ""), (f"{kind}:{name}:", root, "")][: 1 + bool(second)] if colon else []
    if ".py:" in text:
        path, _, after = text.partition(".py:")
        return [("", f"{path}.py", f":{after}")]
    return [] if key == "space" else [("", text, "")]


def _relative(path: str, folder: Path) -> str:
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive
        return ""


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(os.path.expanduser(one), other)
    except OSError:
        return False
