"""Predictors of scores: from encodings of some architectures and their scores to scores of others, with uncertainty.

Few and strong, on scikit-learn. A plain one (ridge on counts, a forest on graph features) is the baseline that a clever
one has to beat.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archwright.core.correlation import kendall
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.predictors.gaussian_process import GaussianProcess

Floats = NDArray[np.float64]


class Predictor(ABC):
    """Learns scores of architectures; larger targets mean nothing to it, so any scale will do.

    Args:
        seed: Of everything random in it.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed % 2**32

    @abstractmethod
    def fit(self, features: ArrayLike, targets: ArrayLike) -> None:
        """Learn from architectures (n, k) and their scores (n,)."""

    @abstractmethod
    def predict(self, features: ArrayLike) -> tuple[Floats, Floats]:
        """Expected scores and their standard deviations, (m,) each, of architectures (m, k)."""


class _Linear(Predictor):
    """Ridge regression on standardised features; the strength by evidence, the spread from the posterior."""

    def fit(self, features: ArrayLike, targets: ArrayLike) -> None:
        from sklearn.linear_model import BayesianRidge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._model: Any = make_pipeline(StandardScaler(), BayesianRidge())
        self._model.fit(np.asarray(features), np.asarray(targets))

    def predict(self, features: ArrayLike) -> tuple[Floats, Floats]:
        mean, spread = self._model.predict(np.asarray(features), return_std=True)
        return mean, spread


class _Trees(Predictor):
    """An ensemble of trees; the spread is that of its members."""

    make: Callable[..., Any]

    def fit(self, features: ArrayLike, targets: ArrayLike) -> None:
        self._model = type(self).make(n_estimators=200, min_samples_leaf=1, max_features=0.5, random_state=self.seed)
        self._model.fit(np.asarray(features, dtype=np.float32), np.asarray(targets))

    def predict(self, features: ArrayLike) -> tuple[Floats, Floats]:
        given = np.asarray(features, dtype=np.float32)
        each = np.stack([tree.predict(given) for tree in self._model.estimators_])
        return each.mean(axis=0), each.std(axis=0)


class _Forest(_Trees):
    @staticmethod
    def make(**settings: Any) -> Any:
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(**settings)


class _ExtraTrees(_Trees):
    @staticmethod
    def make(**settings: Any) -> Any:
        from sklearn.ensemble import ExtraTreesRegressor

        return ExtraTreesRegressor(**settings)


class _Several(Predictor):
    """Several like models that differ in what they are given; the spread is that between them."""

    n_models = 5

    @abstractmethod
    def make(self, seed: int) -> Any:
        """One of them."""

    def fit(self, features: ArrayLike, targets: ArrayLike) -> None:
        given, wanted = np.asarray(features), np.asarray(targets)
        self._models = []
        for i in range(self.n_models):
            rng = np.random.default_rng([self.seed, i])
            drawn = rng.integers(len(given), size=len(given)) if i else np.arange(len(given))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a network could be trained longer
                self._models.append(self.make(int(rng.integers(2**31))).fit(given[drawn], wanted[drawn]))

    def predict(self, features: ArrayLike) -> tuple[Floats, Floats]:
        each = np.stack([model.predict(np.asarray(features)) for model in self._models])
        return each.mean(axis=0), each.std(axis=0)


class _Boosted(_Several):
    def make(self, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingRegressor

        return GradientBoostingRegressor(
            n_estimators=200, learning_rate=0.05, max_depth=4, subsample=0.8, max_features=0.3, random_state=seed
        )


class _Mlp(_Several):
    def make(self, seed: int) -> Any:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.neural_network import MLPRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        network = MLPRegressor(hidden_layer_sizes=(64, 64), alpha=1e-2, solver="lbfgs", max_iter=300, random_state=seed)
        return TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())


class _Process(Predictor):
    """A Gaussian process whose kernel makes the targets most likely."""

    def fit(self, features: ArrayLike, targets: ArrayLike) -> None:
        self._features, wanted = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
        self._mean, self._spread = float(wanted.mean()), float(wanted.std()) or 1.0
        self._targets = (wanted - self._mean) / self._spread

    def predict(self, features: ArrayLike) -> tuple[Floats, Floats]:
        n = len(self._features)
        process = GaussianProcess(np.concatenate([self._features, np.asarray(features, dtype=np.float64)]))
        for i in range(n):
            process.observe(i)
        process.refit(self._targets)
        mean, spread = process.posterior(self._targets)
        return mean[n:] * self._spread + self._mean, spread[n:] * self._spread


PREDICTORS: dict[str, type[Predictor]] = {
    "gp": _Process,
    "ridge": _Linear,
    "forest": _Forest,
    "extra-trees": _ExtraTrees,
    "boosting": _Boosted,
    "mlp": _Mlp,
}
"""Every predictor by its name."""


def open_predictor(name: str, *, seed: int = 0) -> Predictor:
    """A predictor by its name.

    Args:
        name: One of `PREDICTORS`.
        seed: Of everything random in it.

    Raises:
        UnknownNameError: If there is no such predictor.
    """
    if name not in PREDICTORS:
        raise UnknownNameError("predictor", name, PREDICTORS)
    return PREDICTORS[name](seed=seed)


def cross_validated(name: str, features: ArrayLike, targets: ArrayLike, *, n_folds: int = 5, seed: int = 0) -> float:
    """Kendall's tau between targets and what was predicted for each from the others.

    Args:
        name: Of the predictor.
        features: (n, k).
        targets: (n,).
        n_folds: Parts that are left out one after the other.
        seed: Of the parts and the predictor.

    Raises:
        InvalidValueError: If there are fewer than two architectures a part.
    """
    given, wanted = np.asarray(features), np.asarray(targets, dtype=np.float64)
    if len(given) < 2 * n_folds:
        raise InvalidValueError(f"{len(given)} architectures cannot be left out in {n_folds} parts; give {2 * n_folds}")
    part = np.random.default_rng(seed).permutation(len(given)) % n_folds
    predicted = np.empty(len(given))
    for i in range(n_folds):
        predictor = open_predictor(name, seed=seed)
        predictor.fit(given[part != i], wanted[part != i])
        predicted[part == i] = predictor.predict(given[part == i])[0]
    return kendall(predicted, wanted)
