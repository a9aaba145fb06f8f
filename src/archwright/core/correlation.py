"""How well scores rank: correlations with the truth, each with a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError

Numbers = Sequence[float] | NDArray[Any]
N_RESAMPLES = 1000
MIN_FOR_INTERVAL = 10
"""Fewest archs that get an interval: resamples of, say, three points often repeat one, and look more certain than
they are."""


def kendall(scores: Numbers, truth: Numbers) -> float:
    """Kendall's τ-b: 1 for the same order, −1 for the reverse, ties accounted for; not-a-number for a constant.

    >>> kendall([1, 2, 3], [10, 20, 30]), kendall([1, 2, 3], [3, 2, 1])
    (1.0, -1.0)
    """
    from scipy.stats import kendalltau

    return _correlation(lambda a, b: kendalltau(a, b).statistic, *_paired(scores, truth))


def spearman(scores: Numbers, truth: Numbers) -> float:
    """Spearman's ρ: the linear correlation of the ranks, tied values sharing their mean rank."""
    from scipy.stats import spearmanr

    return _correlation(lambda a, b: spearmanr(a, b).statistic, *_paired(scores, truth))


def pearson(scores: Numbers, truth: Numbers) -> float:
    """Pearson's linear correlation."""
    return _correlation(lambda a, b: np.corrcoef(a, b)[0, 1], *_paired(scores, truth))


COEFFICIENTS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "kendall": kendall,
    "spearman": spearman,
    "pearson": pearson,
}


def correlations(
    scores: Numbers, truth: Numbers, rng: np.random.Generator, *, n_resamples: int = N_RESAMPLES
) -> dict[str, Any]:
    """All coefficients, with 95 % percentile intervals from drawing archs with replacement (from ten archs on).

    An arch drawn twice is tied with itself in both lists, which τ-b takes out of its count.

    Args:
        scores: (n,) scores to judge, e.g. a supernet's accuracies.
        truth: (n,) true values, in the same order of archs.
        rng: Draws the resamples.
        n_resamples: How many resamples an interval is taken from.

    Returns:
        {"n", "kendall", "spearman", "pearson", "ci95": {coefficient: [low, high]}}.
    """
    scores, truth = _paired(scores, truth)
    n = n_resamples if len(scores) >= MIN_FOR_INTERVAL else 0
    drawn = rng.integers(len(scores), size=(n, len(scores)))
    intervals = {}
    for name, coefficient in COEFFICIENTS.items():
        values = np.array([coefficient(scores[sample], truth[sample]) for sample in drawn])
        values = values[~np.isnan(values)]
        intervals[name] = [float(v) for v in np.quantile(values, [0.025, 0.975])] if len(values) else [math.nan] * 2
    found = {name: coefficient(scores, truth) for name, coefficient in COEFFICIENTS.items()}
    return {"n": len(scores), **found, "ci95": intervals}


def _paired(scores: Numbers, truth: Numbers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape or len(one) < 2:
        raise InvalidValueError(
            f"scores of the shape {one.shape} cannot be compared with truth of the shape {other.shape}; "
            "give two lists of the same length, at least 2"
        )
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise InvalidValueError("scores or truth hold values that are not finite; leave those architectures out")
    return one, other


def _correlation(coefficient: Callable[[Any, Any], Any], one: NDArray[Any], other: NDArray[Any]) -> float:
    if (one == one[0]).all() or (other == other[0]).all():
        return math.nan  # a constant has no order; scipy would warn
    return float(coefficient(one, other))
