"""Moving averages of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.training.config import TrainingConfig
from archwright.training.ema import Ema, Mean, average_of


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


def test_mean_is_that_of_torch_s_averaged_sgd() -> None:
    """torch.optim.ASGD, begun at step 2, without its own decay of the rate; before it, plain SGD."""
    torch.manual_seed(0)
    network, other, x = nn.Linear(3, 2), nn.Linear(3, 2), torch.randn(9, 3)
    other.load_state_dict(network.state_dict())
    plain = torch.optim.SGD(network.parameters(), lr=0.1)
    theirs: torch.optim.Optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    mean = Mean(network, first_step=3)  # torch leaves out the first step of its average
    for step in range(9):
        if step == 2:
            theirs = torch.optim.ASGD(other.parameters(), lr=0.1, t0=0, lambd=0.0, alpha=0.0)
        for each, optimizer in ((network, plain), (other, theirs)):
            optimizer.zero_grad()
            each(x[step]).pow(2).sum().backward()
            optimizer.step()
        mean.update(step)
    mean.copy_to_network()
    assert torch.allclose(network.weight, theirs.state[other.weight]["ax"], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, None), ({"ema_decay": 0.5}, Ema), ({"average_from": 0.5}, Mean)]
)
def test_the_config_says_which_average(settings: dict[str, float], expected: type[Ema] | None) -> None:
    """None, a moving one, or a plain mean."""
    found = average_of(nn.Linear(1, 1), TrainingConfig(steps=4, **settings), 4)  # type: ignore[arg-type]
    assert (None if found is None else type(found)) is expected


def test_two_averages_are_refused() -> None:
    """Which one would the network end with?"""
    with pytest.raises(InvalidValueError, match=r"average_from is 0\.5"):
        TrainingConfig(steps=4, ema_decay=0.5, average_from=0.5)
