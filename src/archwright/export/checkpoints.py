"""Torch checkpoints as people have them: which of their tensors are the weights.

Files are read by torch's weights-only loader, so no code in them runs. Beside tensors and plain values it is allowed to
make what trainings keep: command lines (`argparse.Namespace`), numpy's numbers, and paths.
"""

from __future__ import annotations

import argparse
import pathlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archwright.core.errors import RunFolderError, error_text

RAW = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Keys below which files have the weights of the training, the first that is there."""

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema")
"""Keys below which files have the moving average of the weights."""

MAX_DEPTH, N_LISTED = 4, 8

_ADVICE = 'save the weights alone where that code is at hand: torch.save(model.state_dict(), "weights.pth")'


def read_checkpoint(path: Path, *, averaged: bool = False) -> dict[str, Tensor]:
    """The tensors of a network in a torch file, by the names in the file.

    Args:
        path: A file of `torch.save`: a state dict, or one below the keys that trainings give it.
        averaged: Take the moving average of the weights, where the file has the weights too.

    Raises:
        RunFolderError: If it cannot be read without running code, or holds no such weights; says what is in it.
    """
    content = _loaded(path)
    found, average = _below(content, RAW), _below(content, AVERAGED)
    if averaged and average is None:
        raise RunFolderError(f"{path} has no averaged weights below {' or '.join(AVERAGED)}: it holds {_told(content)}")
    chosen = average if averaged or found is None else found
    if chosen is None:
        chosen = _tensors_in(content)
    if not chosen:
        raise RunFolderError(
            f"{path} holds no state dict (tensors by name, or below {', '.join(RAW)}), but {_told(content)}; {_ADVICE}"
        )
    return chosen


def _loaded(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(list(_allowed())), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse tensors, which are refused later
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever it meets: missing, truncated, or more than tensors
        if classes := _classes_in(path):
            more = ", …" if len(classes) > N_LISTED else ""
            raise RunFolderError(
                f"{path} holds objects of {', '.join(classes[:N_LISTED])}{more}, which are not loaded, since that can "
                f"run any code; {_ADVICE}"
            ) from error
        first = str(error).strip().partition("\n")[0] or error_text(error)
        raise RunFolderError(
            f"{path} cannot be read as torch weights ({first}); give a whole file of tensors only"
        ) from error


def _allowed() -> Iterator[Any]:
    """What may be made beside tensors and plain values, with the names by which files of several versions call it."""
    yield argparse.Namespace
    scalar = np.float64(0).__reduce__()[0]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        yield scalar, f"{module}.scalar"
    yield np.dtype
    yield from {type(np.dtype(code)) for code in "?bhilqBHILQefdFD"}
    for module in ("pathlib", "pathlib._local"):
        yield pathlib.PurePosixPath, f"{module}.PosixPath"
        yield pathlib.PureWindowsPath, f"{module}.WindowsPath"


def _classes_in(path: Path) -> list[str]:
    """Names of the classes that a file wants to make and that are not allowed; empty where that cannot be told."""
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # no such file, or one of an older form
        return []
    own = {one[1] if isinstance(one, tuple) else f"{one.__module__}.{one.__name__}" for one in _allowed()}
    return sorted(set(wanted) - own)


def _below(content: Any, keys: tuple[str, ...], depth: int = 0) -> dict[str, Tensor] | None:
    """The tensors below the first of the keys that has some, looked for below each of all known keys."""
    if not isinstance(content, Mapping) or depth >= MAX_DEPTH:
        return None
    for key in keys:
        if found := _weights_at(content.get(key), depth):
            return found
    for key in (*RAW, *AVERAGED):
        if key not in keys and (found := _below(content.get(key), keys, depth + 1)):
            return found
    return None


def _weights_at(content: Any, depth: int) -> dict[str, Tensor] | None:
    """The tensors of a state dict, or of one below it."""
    return _below(content, RAW, depth + 1) or _tensors_in(content)


def _tensors_in(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _told(content: Any) -> str:
    """What is in a file, in words."""
    if not isinstance(content, Mapping):
        return f"one {type(content).__name__}"
    named = [f"{key} ({_kind(value)})" for key, value in list(content.items())[:N_LISTED]]
    more = ", …" if len(content) > N_LISTED else ""
    return f"{', '.join(named) or 'nothing'}{more}"


def _kind(value: Any) -> str:
    n = f" of {len(value)}" if isinstance(value, Mapping | list | tuple) else ""
    return f"{type(value).__name__}{n}"
