"""Predictors learn what there is to learn, and say how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.correlation import kendall
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.predictors.regressors import PREDICTORS, cross_validated, open_predictor


def landscape(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A sum of two features and a product of two others, of four and one that says nothing."""
    features = np.random.default_rng(seed).normal(size=(n, 5))
    return features, features[:, 0] + features[:, 1] + 0.5 * features[:, 2] * features[:, 3]


@pytest.mark.parametrize("name", PREDICTORS)
def test_order_of_others_is_predicted(name: str) -> None:
    features, scores = landscape(150, 0)
    others, truth = landscape(200, 1)
    predictor = open_predictor(name, seed=3)
    predictor.fit(features, scores)
    mean, spread = predictor.predict(others)
    assert kendall(mean, truth) > 0.5
    assert mean.shape == spread.shape == (200,)
    assert (spread >= 0).all()


@pytest.mark.parametrize("name", PREDICTORS)
def test_same_seed_same_predictions(name: str) -> None:
    features, scores = landscape(60, 0)
    found = []
    for _ in range(2):
        predictor = open_predictor(name, seed=5)
        predictor.fit(features, scores)
        found.append(predictor.predict(features[:7]))
    assert all((one == other).all() for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["gp", "forest", "boosting", "mlp"])
def test_far_away_is_less_certain(name: str) -> None:
    """Beside the known architectures against five standard deviations off."""
    features, scores = landscape(80, 0)
    predictor = open_predictor(name)
    predictor.fit(features, scores)
    near, far = (predictor.predict(features * factor)[1].mean() for factor in (1.0, 5.0))
    assert far > near


def test_cross_validation_leaves_out_what_it_predicts() -> None:
    """Random scores cannot be predicted, however well a forest remembers them."""
    features, scores = landscape(100, 0)
    assert cross_validated("forest", features, scores) > 0.4
    shuffled = np.random.default_rng(0).permutation(scores)
    assert abs(cross_validated("forest", features, shuffled)) < 0.2


def test_too_few_to_leave_out() -> None:
    with pytest.raises(InvalidValueError, match="9 architectures cannot be left out in 5 parts; give 10"):
        cross_validated("ridge", np.zeros((9, 2)), np.zeros(9))


def test_unknown_predictors_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown predictor 'tree'"):
        open_predictor("tree")
