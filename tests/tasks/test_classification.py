"""Loss and metrics of classification."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError
from archwright.tasks.base import Batch
from archwright.tasks.classification import ClassificationMeter
from archwright.tasks.images.bundled import digits

NO_INPUTS = torch.empty(0)


def test_accuracies_by_hand() -> None:
    """Targets are the best, second, fifth and sixth guess: 1 of 4 right, 3 of 4 among five."""
    outputs = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]).repeat(4, 1)
    meter = ClassificationMeter(6)
    meter.update(outputs[:3], Batch(NO_INPUTS, torch.tensor([0, 1, 4])))
    meter.update(outputs[3:], Batch(NO_INPUTS, torch.tensor([5])))
    result = meter.result()
    assert (result["top1_accuracy"], result["top5_accuracy"]) == (0.25, 0.75)


def test_loss_is_the_mean_over_examples_not_batches() -> None:
    """Three examples of loss log 2 and one of log(1 + e), in batches of 3 and 1."""
    meter = ClassificationMeter(2)
    meter.update(torch.zeros(3, 2), Batch(NO_INPUTS, torch.zeros(3, dtype=torch.int64)))
    meter.update(torch.tensor([[0.0, 1.0]]), Batch(NO_INPUTS, torch.tensor([0])))
    expected = (3 * math.log(2) + math.log(1 + math.e)) / 4
    assert meter.result()["loss"] == pytest.approx(expected, rel=1e-6)


def test_five_classes_have_no_top5() -> None:
    """Top 5 of 5 would always be right."""
    meter = ClassificationMeter(5)
    meter.update(torch.eye(5), Batch(NO_INPUTS, torch.arange(5)))
    assert set(meter.result()) == {"top1_accuracy", "loss"}


def test_diverged_network_is_wrong_everywhere() -> None:
    """Outputs that are no numbers earn no accuracy, whatever class they are sorted into."""
    meter = ClassificationMeter(6)
    meter.update(torch.full((6, 6), math.nan), Batch(NO_INPUTS, torch.arange(6)))
    result = meter.result()
    assert result["top1_accuracy"] == result["top5_accuracy"] == 0.0
    assert math.isnan(result["loss"])


def test_empty_meter_says_so() -> None:
    """No examples, no metrics."""
    with pytest.raises(InvalidValueError, match="at least one batch"):
        ClassificationMeter(2).result()


def test_label_smoothing_closed_form() -> None:
    """(1 - s) * nll of the class + s * mean nll of all classes, from numpy."""
    outputs = np.random.default_rng(0).normal(size=(7, 10))
    targets = np.arange(7)
    log_p = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
    expected = np.mean(-0.9 * log_p[targets, targets] - 0.1 * log_p.mean(axis=1))
    loss = digits().loss(torch.from_numpy(outputs), Batch(NO_INPUTS, torch.from_numpy(targets)), label_smoothing=0.1)
    assert float(loss) == pytest.approx(expected, abs=1e-12)
