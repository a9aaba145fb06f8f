"""Dropped paths and auxiliary heads: parts of training only."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.nn.added_losses import AddedLosses
from archwright.nn.drop_path import DropPath, DropPathSchedule
from archwright.nn.ops.auxiliary import AuxiliaryHead


def test_an_example_is_dropped_whole_or_scaled() -> None:
    """Zeros with the rate, else the input over one minus the rate."""
    torch.manual_seed(0)
    out = DropPath(0.25)(torch.ones(4000, 2, 3, 3)).flatten(1)
    assert bool(((out == 0).all(1) | torch.isclose(out, torch.tensor(4 / 3)).all(1)).all())
    assert (out[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_the_rate_rises_with_the_training() -> None:
    """None is dropped at its start; half the rate at half time."""
    torch.manual_seed(0)
    network = nn.Sequential(DropPath(0.5))
    schedule, x = DropPathSchedule(network), torch.ones(4000, 1)
    schedule.set(0.0)
    assert torch.equal(network(x), x)
    schedule.set(0.5)
    assert (network(x) == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_evaluation_drops_nothing() -> None:
    """The very input."""
    x = torch.ones(8, 1)
    assert DropPath(0.9).eval()(x) is x


def test_a_rate_of_one_is_refused() -> None:
    """Nothing would be left."""
    with pytest.raises(InvalidValueError, match="drop_path is 1"):
        DropPath(1.0)


def test_auxiliary_head_adds_its_weighted_loss_once() -> None:
    """In training, for the last batch; nothing in evaluation."""
    head = AuxiliaryHead(nn.Identity(), 0.4)
    network, x = nn.Sequential(head), torch.tensor([2.0, 4.0])
    added = AddedLosses(network)
    head(x)
    found = added.take(lambda outputs: outputs.sum())
    assert found is not None
    assert found.item() == pytest.approx(2.4)
    assert added.take(lambda outputs: outputs.sum()) is None
    head.eval()(x)
    assert added.take(lambda outputs: outputs.sum()) is None


def test_a_copy_has_no_part_in_the_last_batch() -> None:
    """Its graph could not be copied."""
    head = AuxiliaryHead(nn.Linear(2, 2), 0.4)
    head(torch.ones(1, 2))
    assert copy.deepcopy(head).added_loss(lambda outputs: outputs.sum()) is None
