"""A user's own images in one npz file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.errors import DataError
from archwright.tasks.images.checks import MAX_CHANNELS, check_image_data
from archwright.tasks.images.in_memory import ImageTask
from archwright.tasks.images.npz_archive import read_arrays

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
VALIDATION = ("x_val", "y_val")


@listed("dataset", "npz", summary="your own images: npz:PATH with x_train, y_train, x_test, y_test", source="a file")
def npz(path: str | os.PathLike[str], *, seed: int = 0, val_images: int | None = None) -> ImageTask:
    """Images of a numpy archive.

    The file holds `x_train` and `x_test`, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C in 1..4, `y_train` and
    `y_test`, integers (N,) numbering the classes 0..k-1, and may hold `class_names`, k strings, and `x_val` with
    `y_val`, which are the validation part then. Python objects are not read.

    Args:
        path: The file.
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.

    Raises:
        DataError: If the file cannot be used; names file and array.
    """
    source, arrays = str(path), read_arrays(Path(path), REQUIRED, ("class_names", *VALIDATION))
    x_train, x_test = (_channels_first(source, name, arrays[name]) for name in ("x_train", "x_test"))
    names = _names(source, arrays.get("class_names"))
    y_train, y_test, n_val = arrays["y_train"], arrays["y_test"], None
    if any(name in arrays for name in VALIDATION):
        x_train, y_train, n_val = _with_validation(source, x_train, y_train, arrays)
    task = ImageTask(
        *(source, x_train, y_train, x_test, y_test),
        class_names=names,
        seed=seed,
        val_images=val_images,
        n_val=n_val,
    )
    task.name = f"npz:{path}"
    return task


def _with_validation(
    source: str, x_train: NDArray[Any], y_train: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Training images and labels with those of the validation part behind them, and how many these are."""
    for name in VALIDATION:
        if name not in arrays:
            raise DataError(f"{source}: holds no array {name!r} beside the other one; give x_val and y_val, or neither")
    x_val, y_val = _channels_first(source, "x_val", arrays["x_val"]), arrays["y_val"]
    check_image_data(source, x_train, y_train, x_val, y_val, parts=("train", "val"))
    return np.concatenate([x_train, x_val]), np.concatenate([y_train, y_val.astype(y_train.dtype)]), len(x_val)


def _channels_first(source: str, name: str, images: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W) or (N, H, W, C) as (N, C, H, W); what is so already stays."""
    if images.ndim not in (3, 4):
        raise DataError(
            f"{source}: array {name!r} has {images.ndim} axes, shape {images.shape}; "
            "accepted are (N, H, W), (N, H, W, C) and (N, C, H, W)"
        )
    if images.ndim == 4 and images.shape[1] <= MAX_CHANNELS < images.shape[3]:
        return images
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _names(source: str, names: NDArray[Any] | None) -> list[str] | None:
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise DataError(
            f"{source}: array 'class_names' has dtype {names.dtype} and shape {names.shape}; "
            "accepted are strings, shape (k,)"
        )
    try:
        return [str(name) for name in names]
    except ValueError:  # numpy stores any 32 bits as a character
        raise DataError(f"{source}: array 'class_names' holds what is no text; store strings") from None
