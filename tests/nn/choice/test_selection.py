"""The one piece of state of a supernet."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidArchError, SpaceError
from archwright.nn import selection_of
from archwright.testing import BranchSpace, ElasticSpace, NumberSpace


def test_a_copied_network_has_a_selection_of_its_own() -> None:
    """Activating an arch in the copy leaves the original's logits as they were, and all copied modules follow."""
    space = ElasticSpace()
    network = space.supernet().eval()
    one, other = space.sample(2, np.random.default_rng(0))
    x = torch.randn(2, *space.input_shape)
    selection_of(network).activate(one)
    before = network(x)
    copied = copy.deepcopy(network)
    assert torch.equal(copied(x), before)
    selection_of(copied).activate(other)
    assert torch.equal(network(x), before)
    selection_of(network).activate(other)
    assert torch.equal(copied(x), network(x))


def test_a_copy_made_before_any_activation_still_says_so() -> None:
    """The error for "nothing active yet" survives copying."""
    copied = copy.deepcopy(BranchSpace().supernet())
    with pytest.raises(SpaceError, match="no active value"):
        copied(torch.zeros(1, 3, 6, 6))


def test_nothing_of_the_selection_enters_the_state_dict() -> None:
    """Weights of one supernet load into another whatever is active."""
    space = BranchSpace()
    one, other = space.supernet(), space.supernet()
    selection_of(one).activate(space.sample(1, np.random.default_rng(0))[0])
    other.load_state_dict(one.state_dict(), strict=True)
    assert all(isinstance(value, torch.Tensor) for value in one.state_dict().values())


def test_a_network_of_elastic_sizes_only_has_a_selection() -> None:
    """No module is a choice; the layers' sizes lead to it."""
    network = NumberSpace().supernet()
    selection_of(network).activate({"width": 4, "kernel": 3})
    assert network(torch.zeros(2, 3, 6, 6)).shape == (2, 3)


def test_rows_and_archs_activate_the_same() -> None:
    """The row of an arch gives the arch's logits."""
    space = ElasticSpace()
    network = space.supernet().eval()
    x = torch.randn(2, *space.input_shape)
    for arch in space.sample(5, np.random.default_rng(0)):
        selection_of(network).activate(arch)
        by_arch = network(x)
        selection_of(network).activate_row(space.row(arch))
        assert torch.equal(network(x), by_arch)


def test_a_foreign_arch_is_refused_and_changes_nothing() -> None:
    """The active arch stays active."""
    space = BranchSpace()
    network = space.supernet()
    selection = selection_of(network)
    selection.activate({"node.input": (0,), "node.op": "conv", "last": "half"})
    index = dict(selection.index)
    with pytest.raises(InvalidArchError, match=r"'node\.op' is missing"):
        selection.activate({"node.input": (0,)})
    assert selection.index == index


def test_a_network_with_parts_of_two_supernets_is_refused() -> None:
    """It would need two selections."""
    with pytest.raises(SpaceError, match="parts of 2 supernets"):
        selection_of(nn.Sequential(BranchSpace().supernet(), BranchSpace().supernet()))
