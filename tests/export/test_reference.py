"""Comparisons of logits, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch import nn

from archwright.export.reference import relative_difference, rounds_values, spread_difference
from archwright.nn.ops.quantized import InputQuantizer, QuantizedConv2d, WeightQuantizer


def test_spread_difference() -> None:
    """0 for equal numbers, 1 for their mean, 2 for their mirror image; of other shapes, infinite."""
    expected = np.array([[1.0, 3.0], [5.0, 7.0]], dtype=np.float32)
    assert spread_difference(expected, expected) == 0.0
    assert spread_difference(np.full_like(expected, 4.0), expected) == pytest.approx(1.0)
    assert spread_difference(8.0 - expected, expected) == pytest.approx(2.0)
    assert spread_difference(expected[:1], expected) == math.inf
    assert math.isnan(spread_difference(expected * np.float32("nan"), expected))


def test_relative_difference() -> None:
    """The largest, by the largest expected one where that is above 1."""
    expected = np.array([[0.5, -4.0]], dtype=np.float32)
    assert relative_difference(expected + np.float32(0.5), expected) == pytest.approx(0.125)
    assert relative_difference(expected / 8, expected / 8) == 0.0


@pytest.mark.parametrize(("bits", "expected"), [(4, True), (32, False)])
def test_networks_that_round(bits: int, expected: bool) -> None:
    """By a module inside; rounded weights alone do not count, as they are the same numbers everywhere."""
    conv = QuantizedConv2d(2, 3, 3, quantize_input=InputQuantizer(bits), quantize_weight=WeightQuantizer(2))
    assert rounds_values(nn.Sequential(conv, nn.ReLU())) == expected
