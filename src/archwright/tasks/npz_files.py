"""A user's own images in one npz file."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.errors import DataError
from archwright.tasks.images import ImageTask

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
# All that a damaged archive was seen to raise; RuntimeError stands for encryption and unknown compression.
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, MemoryError, OverflowError, zlib.error, zipfile.BadZipFile)


@listed("dataset", "npz", summary="your own images: npz:PATH with x_train, y_train, x_test, y_test", source="a file")
def npz(path: str | os.PathLike[str], *, seed: int = 0, val_images: int | None = None) -> ImageTask:
    """Images of a numpy archive.

    The file holds `x_train` and `x_test`, uint8 (N, H, W) or (N, H, W, C) with C in 1..4, `y_train` and `y_test`,
    integers (N,) numbering the classes 0..k-1, and may hold `class_names`, k strings. Python objects are not read.

    Args:
        path: The file.
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.

    Raises:
        DataError: If the file cannot be used; names file and array.
    """
    source, arrays = str(path), _read(Path(path))
    x_train, x_test = (_channels_first(source, name, arrays[name]) for name in ("x_train", "x_test"))
    names = _names(source, arrays.get("class_names"))
    y_train, y_test = arrays["y_train"], arrays["y_test"]
    task = ImageTask(source, x_train, y_train, x_test, y_test, class_names=names, seed=seed, val_images=val_images)
    task.name = f"npz:{path}"
    return task


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.exists():
        raise DataError(f"{path}: no such file; give the path of an npz file, npz:PATH")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an npz file (or a truncated one); write it with numpy.savez")
    try:
        archive = np.load(path, allow_pickle=False)
    except _DAMAGE as error:
        raise DataError(f"{path}: cannot be opened ({_line(error)}); write it anew with numpy.savez") from None
    with archive:
        missing = [name for name in REQUIRED if name not in archive.files]
        if missing:
            there = ", ".join(sorted(archive.files)) or "none"
            raise DataError(
                f"{path}: lacks the array {missing[0]!r}; there are: {there}; needed: {', '.join(REQUIRED)}"
            )
        wanted = [*REQUIRED, *({"class_names"} & set(archive.files))]
        return {name: _array(path, name, archive) for name in wanted}


def _array(path: Path, name: str, archive: Any) -> NDArray[Any]:
    try:
        array = archive[name]
    except _DAMAGE as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: array {name!r} holds Python objects (dtype object); store plain numbers"
            ) from None
        raise DataError(f"{path}: array {name!r} cannot be read ({_line(error)}); write the file anew") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {name!r} is not an array; write the file with numpy.savez")
    return array


def _channels_first(source: str, name: str, images: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W) or (N, H, W, C) as (N, C, H, W)."""
    if images.ndim not in (3, 4):
        raise DataError(
            f"{source}: array {name!r} has {images.ndim} axes, shape {images.shape}; "
            "accepted are (N, H, W) and (N, H, W, C)"
        )
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _names(source: str, names: NDArray[Any] | None) -> list[str] | None:
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise DataError(
            f"{source}: array 'class_names' has dtype {names.dtype} and shape {names.shape}; "
            "accepted are strings, shape (k,)"
        )
    return [str(name) for name in names]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
