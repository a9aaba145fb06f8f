"""Mutation and crossover of whole populations, as array operations on rows (n, n_decisions).

Positions that were inactive in a parent get fresh random values before anything is varied, so that a
change which activates them finds them filled; `DecisionSpace.canonical` then removes what stayed inactive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.decisions import DecisionSpace, Rows
from archwright.core.errors import InvalidValueError


def mutate(space: DecisionSpace, rows: Rows, rng: np.random.Generator, *, probability: float) -> Rows:
    """Rows that each differ from their parent in at least one decision.

    Every active decision changes with the given probability; where none would, one is made to. A changed
    decision takes any of its other values, equally likely. Only where every active decision has a single
    value does a row stay as it is.

    Args:
        space: The space of the rows.
        rows: The parents, (n, n_decisions).
        rng: Source of randomness.
        probability: Chance in [0, 1] that an active decision changes.

    Returns:
        The children, (n, n_decisions), in the order of their parents.

    Raises:
        InvalidValueError: If the probability is outside [0, 1].
    """
    _check_probability(probability)
    can_change = (rows >= 0) & (space.n_values > 1)
    change = can_change & (rng.random(rows.shape) < probability)
    unchanged = ~change.any(axis=1) & can_change.any(axis=1)
    forced = np.where(can_change, rng.random(rows.shape), -1.0).argmax(axis=1)
    change[unchanged, forced[unchanged]] = True
    shift = 1 + _random_below(np.maximum(space.n_values - 1, 1), rows.shape, rng)
    full = _filled(space, rows, rng)
    return space.canonical(np.where(change, (full + shift) % space.n_values, full))


def resample(space: DecisionSpace, rows: Rows, rng: np.random.Generator, *, probability: float) -> Rows:
    """Rows in which every decision is drawn anew with the given probability; it may get its old value again.

    The mutation of SPOS (Guo et al., 2020, released search code), where an unchanged child is caught by the
    "already visited" test instead.

    Args:
        space: The space of the rows.
        rows: The parents, (n, n_decisions).
        rng: Source of randomness.
        probability: Chance in [0, 1] that a decision is drawn anew.

    Returns:
        The children, (n, n_decisions), in the order of their parents.

    Raises:
        InvalidValueError: If the probability is outside [0, 1].
    """
    _check_probability(probability)
    full = _filled(space, rows, rng)
    fresh = _random_below(space.n_values, rows.shape, rng)
    return space.canonical(np.where(rng.random(rows.shape) < probability, fresh, full))


def crossover(space: DecisionSpace, mothers: Rows, fathers: Rows, rng: np.random.Generator) -> Rows:
    """Rows that take each decision from either parent with equal odds; if one parent lacks it, from the other.

    Args:
        space: Both parents' space.
        mothers: First parents, (n, n_decisions).
        fathers: Second parents, (n, n_decisions), paired with `mothers` row by row.
        rng: Source of randomness.
    """
    from_mother = rng.random(mothers.shape) < 0.5
    from_mother = np.where(mothers < 0, False, np.where(fathers < 0, True, from_mother))
    mixed = np.where(from_mother, mothers, fathers)
    return space.canonical(_filled(space, mixed, rng))


def neighbours(space: DecisionSpace, row: NDArray[Any], rng: np.random.Generator) -> Rows:
    """All rows that differ from one in one active decision, (n, n_decisions).

    Args:
        space: The space.
        row: The row (n_decisions,).
        rng: Fills decisions that a change activates.
    """
    columns = [i for i in range(len(space)) if row[i] >= 0 and space.n_values[i] > 1]
    changes = [(i, value) for i in columns for value in range(int(space.n_values[i])) if value != row[i]]
    if not changes:
        return np.empty((0, len(space)), dtype=np.int16)
    found = _filled(space, np.repeat(np.asarray(row)[None], len(changes), axis=0), rng)
    where, values = (np.array(part) for part in zip(*changes, strict=True))
    found[np.arange(len(changes)), where] = values
    return space.canonical(found)


def _filled(space: DecisionSpace, rows: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows with random values where there were none."""
    return np.where(rows < 0, _random_below(space.n_values, rows.shape, rng), rows)


def _random_below(bounds: NDArray[np.int64], shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(shape) * bounds).astype(np.int64)


def _check_probability(probability: float) -> None:
    if not 0.0 <= probability <= 1.0:
        raise InvalidValueError(f"mutation probability is {probability!r}; give a number between 0 and 1")
