"""Which examples a training step sees, as a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed

Indices = NDArray[np.int64]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Complete batches in n examples; one if n is smaller than a batch.

    >>> steps_per_epoch(1000, 128), steps_per_epoch(100, 128)
    (7, 1)

    Raises:
        InvalidValueError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise InvalidValueError(f"batch_size is {batch_size}; give at least 1")
    return max(1, n // batch_size)


def training_order(
    n: int, batch_size: int, *, seed: int, first_step: int, n_steps: int
) -> Iterator[tuple[int, Indices]]:
    """Pairs of a step and the positions (B,) of its examples among n; each epoch is shuffled anew.

    Args:
        n: Number of examples.
        batch_size: Examples in a batch, B.
        seed: Draws the order of each epoch.
        first_step: The first step to give, from 0.
        n_steps: Steps to give.

    Raises:
        InvalidValueError: If the batch size is not positive.
    """
    per_epoch = steps_per_epoch(n, batch_size)
    shuffled, order = -1, np.empty(0, dtype=np.int64)
    for step in range(first_step, first_step + n_steps):
        epoch, k = divmod(step, per_epoch)
        if epoch != shuffled:
            shuffled, order = epoch, np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(n)
        yield step, order[k * batch_size : (k + 1) * batch_size]


def stored_order(n: int, batch_size: int) -> Iterator[slice]:
    """Consecutive slices that cover 0..n-1; the last may be shorter."""
    if batch_size < 1:
        raise InvalidValueError(f"batch_size is {batch_size}; give at least 1")
    return (slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size))
