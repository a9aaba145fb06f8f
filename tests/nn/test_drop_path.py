"""Scheduled drop path."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.drop_path import DropPath, DropPathSchedule, dropped
from archwright.spaces import open_architecture


@pytest.mark.parametrize("is_training", [True, False])
def test_without_odds_to_drop_or_training_nothing_happens(is_training: bool) -> None:
    """The very tensor comes back at rate 0, and in evaluation at any rate."""
    x = torch.randn(4, 2, 3, 3)
    assert DropPath(0.0 if is_training else 0.9).train(is_training)(x) is x


def test_kept_examples_are_divided_by_the_odds_and_others_are_zero() -> None:
    """Each example as a whole; a quarter is dropped."""
    torch.manual_seed(0)
    out = DropPath(0.25)(torch.ones(20_000, 1, 2, 2)).flatten(1)
    assert out.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert bool((out == out[:, :1]).all())
    assert (out[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_schedule_is_linear_in_steps_and_cells() -> None:
    """keep = 1 - step/T (cell + 1)/cells (1 - 0.6) for NASNet-A on CIFAR: 1 at first, 0.6 at the last cell's end."""
    found = open_architecture("nasnet-a-6-768")
    with torch.device("meta"):
        network = found.space.build(found.arch)
    schedule = DropPathSchedule(network)
    n_cells = 20  # reductions count
    for progress in (0.0, 0.5, 1.0, 2.0):
        schedule.set_progress(progress)
        for i, cell in enumerate(network.cells):  # type: ignore[arg-type]
            keeps = {part.keep for part in cell.modules() if isinstance(part, DropPath)}
            assert len(keeps) == 1
            assert keeps.pop() == pytest.approx(1 - min(1.0, progress) * (i + 1) / n_cells * 0.4)


def test_identities_are_never_dropped() -> None:
    """In NASNet-A's normal cell three of ten operations are identities."""
    found = open_architecture("nasnet-a-6-768")
    with torch.device("meta"):
        network = found.space.build(found.arch)
    cell = network.get_submodule("cells.2")
    assert sum(isinstance(part, DropPath) for part in cell.modules()) == 8
    assert isinstance(cell.get_submodule("blocks.4.second.0"), nn.Identity)


def test_dropped_keeps_the_names_of_weights() -> None:
    """It stands behind a chain's layers; a rate of 0 changes nothing."""
    chain = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 1))
    assert dropped(chain, 0.2).state_dict().keys() == chain.state_dict().keys()
    assert [type(part).__name__ for part in dropped(nn.MaxPool2d(3), 0.2)] == ["MaxPool2d", "DropPath"]
    assert dropped(chain, 0.0) is chain
