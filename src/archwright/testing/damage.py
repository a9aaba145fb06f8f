"""Damage to files: cut, emptied, a bit flipped, deleted, without permission, or replaced by something else."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

Kind = Literal[
    "emptied", "halved", "short of a byte", "longer", "flipped", "a folder", "deleted", "a dangling link", "forbidden"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
FOLDER_KINDS: tuple[Kind, ...] = ("deleted", "forbidden", "emptied")
"""Kinds of damage to a folder; "emptied" replaces it by a file."""


def targets(folder: Path) -> list[str]:
    """Names of all files and folders in a folder, at any depth, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def kinds_for(path: Path) -> tuple[Kind, ...]:
    """Kinds of damage that are possible for this file or folder; an empty file cannot be cut."""
    if path.is_dir():
        return FOLDER_KINDS
    cuts = ("emptied", "halved", "short of a byte", "flipped")
    return KINDS if path.stat().st_size else tuple(kind for kind in KINDS if kind not in cuts)


def damage(path: Path, kind: Kind, rng: random.Random) -> None:
    """Damage a file or folder.

    Args:
        path: The file or folder.
        kind: How to damage it.
        rng: Draws which bit is flipped.
    """
    if kind == "deleted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif kind == "forbidden":
        path.chmod(0)
    elif path.is_dir() or kind in ("a folder", "a dangling link"):
        _replace(path, kind)
    else:
        path.write_bytes(_CHANGES[kind](path.read_bytes(), rng))


def restore(path: Path, original: Path) -> None:
    """Replace a damaged file or folder by a copy of the original."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o755)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    shutil.copytree(original, path) if original.is_dir() else shutil.copy2(original, path)


def _replace(path: Path, kind: Kind) -> None:
    is_folder = path.is_dir()
    shutil.rmtree(path) if is_folder else path.unlink()
    if is_folder:
        path.touch()
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path.with_name("nothing is here"))


def _flipped(data: bytes, rng: random.Random) -> bytes:
    position = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


_CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "emptied": lambda data, rng: b"",
    "halved": lambda data, rng: data[: len(data) // 2],
    "short of a byte": lambda data, rng: data[:-1],
    "longer": lambda data, rng: data + b"\0",
    "flipped": _flipped,
}
