"""A Gaussian process over architectures, exact and fast: one more observation costs one more row of a factor.

Targets are ranks, mapped to a normal distribution: accuracies crowd near the top and have a long tail below, and a
process on the raw numbers would explain the tail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import ndtri

from archwright.core.errors import InvalidValueError

Floats = NDArray[np.float64]

SCALES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""Length scales that are tried, in units of the root of the number of features."""

NOISES = (1e-3, 1e-2, 0.03, 0.1, 0.3)
"""Variances of the noise that are tried, where the signal's is 1."""


def rank_gaussian(values: ArrayLike) -> Floats:
    """Values (n,) as quantiles of a standard normal distribution by their ranks; equal values share one.

    >>> rank_gaussian([3.0, 1.0, 2.0]).round(2).tolist()
    [0.97, -0.97, 0.0]
    """
    given = np.asarray(values, dtype=np.float64)
    ordered = np.sort(given)
    first, last = np.searchsorted(ordered, given, side="left"), np.searchsorted(ordered, given, side="right")
    quantiles: Floats = ndtri(((first + last - 1) / 2 + 0.5) / max(len(given), 1))
    return quantiles


@dataclass(frozen=True)
class Kernel:
    """exp(-d²/2l²) of standardised features, plus noise.

    Attributes:
        scale: l, in units of the root of the number of features.
        noise: Variance of an observation's noise.
    """

    scale: float = 0.7
    noise: float = 0.03

    def between(self, one: Floats, other: Floats) -> Floats:
        """(n, m): covariances of points (n, k) and (m, k).

        Args:
            one: Standardised features.
            other: The same.
        """
        squared = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
        width = 2 * self.scale**2 * max(one.shape[1], 1)
        covariances: Floats = np.exp(-np.maximum(squared, 0.0) / width)
        return covariances


def standardised(features: ArrayLike) -> Floats:
    """Features (n, k) with mean 0 and variance 1 each; those that do not vary are left out.

    Args:
        features: Of all points that are looked at.
    """
    given = np.asarray(features, dtype=np.float64)
    spread = given.std(axis=0)
    varying = spread > 1e-12 * np.maximum(1.0, np.abs(given).max(axis=0, initial=0.0))
    scaled: Floats = (given[:, varying] - given[:, varying].mean(axis=0)) / spread[varying]
    return scaled


class GaussianProcess:
    """A Gaussian process over a fixed set of points, some of which are observed one after the other.

    Mean and variance of all n points after t observations take 2 n t operations, and an observation n t more; only a
    new kernel begins anew.

    Args:
        features: (n, k) of all points, as they are: they are standardised here.
        kernel: The covariance.
    """

    def __init__(self, features: ArrayLike, kernel: Kernel | None = None) -> None:
        self.points = standardised(features)
        self.kernel = kernel or Kernel()
        self.observed: list[int] = []
        self._factor = np.empty((8, 8))  # L with L Lᵀ = K + noise, of those observed
        self._solved = np.empty((8, len(self.points)))  # L⁻¹ K(observed, all)

    def observe(self, point: int) -> None:
        """Add an observation; a point may be observed more than once.

        Args:
            point: Which.
        """
        t = len(self.observed)
        if t == len(self._factor):
            self._factor = _grown(self._factor, (2 * t, 2 * t))
            self._solved = _grown(self._solved, (2 * t, len(self.points)))
        covariances = self.kernel.between(self.points[[point]], self.points)[0]
        below = self._solved[:t, point]
        diagonal = math.sqrt(max(1.0 + self.kernel.noise - float(below @ below), 1e-12))
        self._factor[t, :t], self._factor[t, t] = below, diagonal
        self._solved[t] = (covariances - below @ self._solved[:t]) / diagonal
        self.observed.append(point)

    def posterior(self, targets: ArrayLike) -> tuple[Floats, Floats]:
        """Mean and standard deviation (n,) of all points, without the noise.

        Args:
            targets: (t,) of the observations, in their order.

        Raises:
            InvalidValueError: If there are more or fewer.
        """
        t, given = len(self.observed), np.asarray(targets, dtype=np.float64)
        if given.shape != (t,):
            raise InvalidValueError(f"there are {t} observations, and targets of the shape {given.shape}")
        if not t:
            return np.zeros(len(self.points)), np.ones(len(self.points))
        solved = self._solved[:t]
        # the factor's upper half is not set, and not read
        mean = solve_triangular(self._factor[:t, :t], given, lower=True, check_finite=False) @ solved
        variance = np.maximum(1.0 - np.einsum("tn,tn->n", solved, solved), 1e-12)
        return mean, np.sqrt(variance)

    def likelihood(self, targets: ArrayLike, kernel: Kernel) -> float:
        """Logarithm of the targets' density under a kernel, the signal's variance being the most likely one.

        Args:
            targets: (t,) of the observations.
            kernel: Any.
        """
        given = np.asarray(targets, dtype=np.float64)
        at, t = self.points[self.observed], len(self.observed)
        covariance = kernel.between(at, at) + kernel.noise * np.eye(t)
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return -math.inf
        fit = float(given @ cho_solve((factor, True), given))
        return -0.5 * t * math.log(max(fit / t, 1e-12)) - float(np.log(np.diag(factor)).sum())

    def refit(self, targets: ArrayLike, *, scales: Sequence[float] = SCALES, noises: Sequence[float] = NOISES) -> None:
        """Take the kernel of a grid that makes the targets most likely.

        Args:
            targets: (t,) of the observations.
            scales: Length scales to try.
            noises: Noises to try.
        """
        tried = [Kernel(scale, noise) for scale in scales for noise in noises]
        best = max(tried, key=lambda kernel: self.likelihood(targets, kernel))
        if best == self.kernel:
            return
        self.kernel, observed = best, self.observed
        self.observed = []
        for point in observed:
            self.observe(point)


def _grown(array: Floats, shape: tuple[int, int]) -> Floats:
    larger = np.empty(shape)
    larger[: array.shape[0], : array.shape[1]] = array
    return larger
