"""The process step by step against scikit-learn's, at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from archwright.core.errors import InvalidValueError
from archwright.predictors.gaussian_process import GaussianProcess, Kernel, rank_gaussian, standardised


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 5))


def observed(features: np.ndarray, kernel: Kernel, points: list[int]) -> GaussianProcess:
    process = GaussianProcess(features, kernel)
    for point in points:
        process.observe(point)
    return process


@pytest.mark.parametrize("kernel", [Kernel(0.5, 0.1), Kernel(1.4, 0.001)])
def test_posterior_is_that_of_scikit_learn(features: np.ndarray, kernel: Kernel) -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    points, targets = list(range(3, 20)), np.random.default_rng(1).normal(size=17)
    mean, spread = observed(features, kernel, points).posterior(targets)
    scaled = standardised(features)
    theirs = GaussianProcessRegressor(RBF(kernel.scale * np.sqrt(5)), alpha=kernel.noise, optimizer=None)
    expected, deviation = theirs.fit(scaled[points], targets).predict(scaled, return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-8)
    np.testing.assert_allclose(spread, deviation, atol=1e-6)


def test_likelihoods_differ_as_those_of_scikit_learn(features: np.ndarray) -> None:
    """With targets scaled to the most likely signal variance, up to the same constant."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    points, targets = list(range(20)), np.random.default_rng(1).normal(size=20)
    process, scaled = observed(features, Kernel(), points), standardised(features)
    found, expected = [], []
    for kernel in (Kernel(0.5, 0.1), Kernel(2.0, 0.3)):
        covariance = kernel.between(scaled[points], scaled[points]) + kernel.noise * np.eye(20)
        variance = targets @ np.linalg.solve(covariance, targets) / 20
        theirs = GaussianProcessRegressor(RBF(kernel.scale * np.sqrt(5)), alpha=kernel.noise, optimizer=None)
        likelihood = theirs.fit(scaled[points], targets / np.sqrt(variance)).log_marginal_likelihood_value_
        expected.append(likelihood - 10 * np.log(variance))
        found.append(process.likelihood(targets, kernel))
    assert found[0] - found[1] == pytest.approx(expected[0] - expected[1])


def test_a_refit_takes_the_most_likely_kernel(features: np.ndarray) -> None:
    """And knows what it knew: the posterior is that of a process with that kernel from the start."""
    points = list(range(30))
    targets = np.sin(features[:30, 0])
    process = observed(features, Kernel(), points)
    process.refit(targets, scales=(0.1, 1.0), noises=(0.001, 0.3))
    tried = [Kernel(scale, noise) for scale in (0.1, 1.0) for noise in (0.001, 0.3)]
    assert process.kernel == max(tried, key=lambda kernel: process.likelihood(targets, kernel))
    fresh = observed(features, process.kernel, points)
    for one, other in zip(process.posterior(targets), fresh.posterior(targets), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_nothing_observed_is_the_prior(features: np.ndarray) -> None:
    mean, spread = GaussianProcess(features).posterior([])
    assert (mean == 0).all()
    assert (spread == 1).all()


def test_a_point_may_be_observed_twice(features: np.ndarray) -> None:
    """The mean lies between the two targets."""
    mean, _ = observed(features, Kernel(0.5, 0.01), [4, 4]).posterior([1.0, 0.0])
    assert 0.4 < mean[4] < 0.6


def test_targets_belong_to_observations(features: np.ndarray) -> None:
    with pytest.raises(InvalidValueError, match=r"2 observations, and targets of the shape \(3,\)"):
        observed(features, Kernel(), [0, 1]).posterior([1, 2, 3])


def test_ranks_become_quantiles() -> None:
    """(rank - 1/2) / n; equal values share their mean rank."""
    assert rank_gaussian([5, 1, 3, 2]) == pytest.approx(norm.ppf([0.875, 0.125, 0.625, 0.375]))
    assert rank_gaussian([1, 1, 2]) == pytest.approx(norm.ppf([1 / 3, 1 / 3, 5 / 6]))


def test_constant_features_are_left_out() -> None:
    features = np.array([[1.0, 7.0], [3.0, 7.0]])
    assert standardised(features).tolist() == [[-1.0], [1.0]]
