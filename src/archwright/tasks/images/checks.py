"""Check arrays of images and labels; an error is one line that names source and array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import DataError

MAX_CHANNELS = 4


def check_images(source: str, name: str, images: NDArray[Any]) -> None:
    """Refuse images that are not uint8 (N, C, H, W), none of these zero, with up to four channels.

    Args:
        source: Path or name of the data, for the error.
        name: Name of the array.
        images: The array.

    Raises:
        DataError: If they are not; names the array and what it holds.
    """
    if images.dtype != np.uint8:
        raise DataError(f"{source}: array {name!r} has dtype {images.dtype}; accepted is uint8, values 0..255")
    if images.ndim != 4:
        raise DataError(f"{source}: array {name!r} has {images.ndim} axes, shape {images.shape}; accepted are 4")
    if images.size == 0:
        raise DataError(f"{source}: array {name!r} is empty, shape {images.shape}; give at least one image")
    if images.shape[1] > MAX_CHANNELS:
        raise DataError(f"{source}: array {name!r} has {images.shape[1]} channels; accepted are 1 to {MAX_CHANNELS}")


def check_labels(source: str, name: str, labels: NDArray[Any], images_name: str, n_images: int) -> None:
    """Refuse labels that are not integers (N,), none negative, one for each image.

    Args:
        source: Path or name of the data, for the error.
        name: Name of the array.
        labels: The array.
        images_name: Name of the array of images.
        n_images: Number of images in it.

    Raises:
        DataError: If they are not; names the array and what it holds.
    """
    if labels.dtype.kind not in "iu":
        raise DataError(f"{source}: array {name!r} has dtype {labels.dtype}; accepted are integer labels 0..k-1")
    if labels.ndim != 1:
        raise DataError(
            f"{source}: array {name!r} has shape {labels.shape}; accepted is one label an image, shape (N,)"
        )
    if len(labels) != n_images:
        raise DataError(
            f"{source}: array {name!r} has {len(labels)} labels for the {n_images} images of {images_name!r}; "
            "give one label an image"
        )
    if labels.min() < 0:
        raise DataError(f"{source}: array {name!r} holds the negative label {labels.min()}; accepted are 0..k-1")


def check_classes(source: str, y_train: NDArray[Any], y_test: NDArray[Any], test: str = "test") -> int:
    """The number k of classes, where training has each of 0..k-1 at least twice and test has no other.

    Args:
        source: Path or name of the data, for the error.
        y_train: Training labels (N,), not negative.
        y_test: Test labels (N,), not negative.
        test: What the second part is called.

    Raises:
        DataError: If that is not so, or there is one class only.
    """
    present, counts = np.unique(y_train, return_counts=True)
    k = len(present)
    if int(present[-1]) != k - 1:
        missing = int(np.flatnonzero(present != np.arange(k))[0])
        raise DataError(
            f"{source}: array 'y_train' goes up to {present[-1]} but has no label {missing}; "
            "number the classes 0..k-1 without gaps"
        )
    if k < 2:
        raise DataError(f"{source}: array 'y_train' has {k} class; accepted are 2 or more")
    if counts.min() < 2:
        raise DataError(
            f"{source}: array 'y_train' has one image of class {int(counts.argmin())}; give each class at least 2, "
            "one of them is for validation"
        )
    if int(y_test.max()) >= k:
        raise DataError(
            f"{source}: array 'y_{test}' holds class {y_test.max()}, which 'y_train' lacks; "
            f"classes of the {test} part must be among 0..{k - 1}"
        )
    return k


def check_image_data(
    source: str,
    x_train: NDArray[Any],
    y_train: NDArray[Any],
    x_test: NDArray[Any],
    y_test: NDArray[Any],
    *,
    parts: tuple[str, str] = ("train", "test"),
) -> int:
    """Check all four arrays, one by one and against each other; returns the number of classes.

    Args:
        source: Path or name of the data, for the error.
        x_train: Training images (N, C, H, W), uint8.
        y_train: Their labels (N,), integers.
        x_test: Test images, of the same size.
        y_test: Their labels.
        parts: What the two parts are called in names of arrays.

    Raises:
        DataError: At the first fault.
    """
    train, test = parts
    check_images(source, f"x_{train}", x_train)
    check_images(source, f"x_{test}", x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{source}: images of 'x_{train}' are {_size(x_train)} and those of 'x_{test}' {_size(x_test)} "
            "(channels x height x width); give both the same size"
        )
    check_labels(source, f"y_{train}", y_train, f"x_{train}", len(x_train))
    check_labels(source, f"y_{test}", y_test, f"x_{test}", len(x_test))
    return check_classes(source, y_train, y_test, test)


def _size(images: NDArray[Any]) -> str:
    return "x".join(str(size) for size in images.shape[1:])
