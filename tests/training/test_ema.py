"""Moving averages of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.training.ema import Ema


def test_average_against_a_loop() -> None:
    """The recursion with numbers, through the ramp 1/10, 2/11, 3/12, … up to 0.3."""
    network = nn.Linear(1, 1, bias=False)
    values, average = [1.0, 5.0, -2.0, 3.0, 0.5, 4.0], 0.0
    with torch.no_grad():
        network.weight.fill_(average)
        ema = Ema(network, 0.3)
        for step, value in enumerate(values):
            network.weight.fill_(value)
            ema.update(step)
            decay = min(0.3, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * value
    ema.copy_to_network()
    assert network.weight.item() == pytest.approx(average, abs=1e-6)


def test_running_statistics_are_averaged_and_counts_kept() -> None:
    """Floating-point buffers move; the number of batches is the network's own."""
    network = nn.BatchNorm1d(2)
    ema = Ema(network, 0.9)
    assert network.running_mean is not None
    assert network.num_batches_tracked is not None
    network.running_mean.fill_(1.0)
    network.num_batches_tracked.fill_(7)
    ema.update(0)
    ema.copy_to_network()
    assert network.running_mean.tolist() == pytest.approx([0.9, 0.9])  # decay 1/10 in the first step
    assert int(network.num_batches_tracked) == 7
