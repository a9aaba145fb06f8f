"""Dividing examples into parts, class by class."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed

Indices = NDArray[np.int64]


def hold_out_test(labels: NDArray[np.int64], fraction: float = 0.2) -> tuple[Indices, Indices]:
    """Training and test positions of data that come in one piece.

    Of each class the last `fraction` (rounded) of one fixed permutation is the test part. No seed enters,
    so every run of every method is tested on the same examples.

    Returns:
        Training positions and test positions, both ascending.
    """
    # The legacy generator's stream is frozen for good (NEP 19), that of default_rng is not.
    order = np.random.RandomState(20_190).permutation(len(labels))
    return _divide(labels, order, _by_fraction(np.bincount(labels), fraction))


def draw_validation(
    labels: NDArray[np.int64], seed: int, fraction: float = 0.1, n_images: int | None = None
) -> tuple[Indices, Indices]:
    """Training and validation positions, drawn by seed: `fraction` of each class, or `n_images` in all.

    By fraction, each class of two or more examples gives at least one to either side. A number is shared out in
    proportion to the classes; each keeps at least one example for training, and gives one where there are enough.

    Args:
        labels: Classes (N,) of the examples, 0..k-1.
        seed: Draws which.
        fraction: Of each class.
        n_images: How many in all, instead of a fraction.

    Returns:
        Training positions and validation positions, both ascending.

    Raises:
        InvalidValueError: If so many cannot be spared.
    """
    order = np.random.default_rng(derive_seed(seed, "validation")).permutation(len(labels))
    sizes = np.bincount(labels)
    held = _by_fraction(sizes, fraction) if n_images is None else _in_proportion(sizes, n_images)
    return _divide(labels, order, held)


def _by_fraction(sizes: Indices, fraction: float) -> list[int]:
    return [min(max(round(fraction * size), 1), size - 1) for size in sizes.tolist()]


def _in_proportion(sizes: Indices, n: int) -> list[int]:
    """How many of n each class gives: the nearest to its share that leaves one of each class."""
    most = int((sizes - 1).sum())
    if not 1 <= n <= most:
        raise InvalidValueError(
            f"val_images is {n} of {int(sizes.sum())} training images; give 1 to {most}, each class keeps one to train"
        )
    least = 1 if n >= len(sizes) else 0
    share = n * sizes / sizes.sum()
    given = np.clip(np.floor(share).astype(np.int64), least, sizes - 1)
    while (missing := n - int(given.sum())) != 0:
        # whoever is furthest from its share; the first of several, so that nothing but the sizes decides
        if missing > 0:
            given[np.argmax(np.where(given < sizes - 1, share - given, -np.inf))] += 1
        else:
            given[np.argmax(np.where(given > least, given - share, -np.inf))] -= 1
    return [int(number) for number in given]


def _divide(labels: NDArray[np.int64], order: Indices, n_held: list[int]) -> tuple[Indices, Indices]:
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))])
    kept, held = [], []
    for (start, stop), n in zip(pairwise(starts.tolist()), n_held, strict=True):
        kept.append(by_class[start : stop - n])
        held.append(by_class[stop - n : stop])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))
