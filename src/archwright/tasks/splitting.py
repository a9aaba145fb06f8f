"""Dividing examples into parts, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed

Indices = NDArray[np.int64]


def hold_out_test(labels: NDArray[np.int64], fraction: float = 0.2) -> tuple[Indices, Indices]:
    """Training and test positions of data without a test part of their own.

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


def share_bounds(n: int, fractions: Sequence[float], what: str) -> list[tuple[int, int]]:
    """Where each share of n examples begins and ends: at the rounded sums of the fractions before it and up to it.

    Args:
        n: Examples to divide.
        fractions: Of each share; what is missing to 1 is left out.
        what: What is divided, for errors.

    Raises:
        InvalidValueError: If a fraction is not positive, they sum to more than 1, or a share would be empty.
    """
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions) or sum(fractions) > 1 + 1e-9:
        raise InvalidValueError(f"the fractions are {tuple(fractions)}; give positive ones whose sum is at most 1")
    ends = [min(n, round(end * n)) for end in accumulate(fractions)]
    bounds = list(pairwise([0, *ends]))
    for fraction, (start, stop) in zip(fractions, bounds, strict=True):
        if start == stop:
            raise InvalidValueError(
                f"a share of {fraction} of {what} is empty: there are {n} examples; give more of it"
            )
    return bounds


def draw_shares(labels: NDArray[np.int64], fractions: Sequence[float], seed: int, what: str) -> list[Indices]:
    """Positions of each share of labelled examples, drawn by seed; class by class, and none in two.

    A share has as many examples as `share_bounds` says; of each class within about one example of its part.

    Args:
        labels: Classes (N,), 0..k-1.
        fractions: Of each share.
        seed: Draws which.
        what: What is divided, for errors.

    Returns:
        Positions among the N, ascending in each share.
    """
    bounds = share_bounds(len(labels), fractions, what)
    rng = np.random.default_rng(derive_seed(seed, "shares"))
    # Systematic sampling: the examples of a class stand evenly on a line from 0 to 1, each class with a start of its
    # own, so that any stretch of the line holds the classes in proportion.
    order, sizes = rng.permutation(len(labels)), np.bincount(labels)
    by_class = order[np.argsort(labels[order], kind="stable")]
    numbers = np.concatenate([np.arange(size) for size in sizes])
    places = (numbers + np.repeat(rng.random(len(sizes)), sizes)) / np.repeat(sizes, sizes)
    along = by_class[np.argsort(places, kind="stable")]
    return [np.sort(along[start:stop]) for start, stop in bounds]


def _by_fraction(sizes: Indices, fraction: float) -> list[int]:
    return [min(max(round(fraction * size), 1), size - 1) for size in sizes.tolist()]


def _in_proportion(sizes: Indices, n: int) -> list[int]:
    """How many of n examples each class gives: nearest to its share, with one of each class left."""
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
