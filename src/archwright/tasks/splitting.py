"""Dividing examples into parts, class by class."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
    return _divide(labels, order, fraction)


def draw_validation(labels: NDArray[np.int64], seed: int, fraction: float = 0.1) -> tuple[Indices, Indices]:
    """Training and validation positions: `fraction` of each class, drawn by seed.

    Each class of two or more examples gives at least one to either side.

    Returns:
        Training positions and validation positions, both ascending.
    """
    order = np.random.default_rng(derive_seed(seed, "validation")).permutation(len(labels))
    return _divide(labels, order, fraction)


def _divide(labels: NDArray[np.int64], order: Indices, fraction: float) -> tuple[Indices, Indices]:
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))])
    kept, held = [], []
    for start, stop in pairwise(starts.tolist()):
        n_held = min(max(round(fraction * (stop - start)), 1), (stop - start) - 1)
        kept.append(by_class[start : stop - n_held])
        held.append(by_class[stop - n_held : stop])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))
