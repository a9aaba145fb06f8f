"""What parts of a network add to a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.nn.added_losses import AddedLosses, LossOf


class Auxiliary(nn.Module):
    """Adds 0.4 times the loss of its own outputs, and knows them once."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.outputs = x + 1
        return x

    def added_loss(self, loss_of: LossOf) -> Tensor | None:
        outputs, self.outputs = self.outputs, None
        return None if outputs is None else 0.4 * loss_of(outputs)


def test_a_network_without_any_adds_nothing() -> None:
    """None, not zero."""
    network = nn.Sequential(nn.Linear(2, 2))
    added = AddedLosses(network)
    network(torch.ones(1, 2))
    assert added.take(torch.sum) is None


def test_an_auxiliary_head_uses_the_task_s_loss() -> None:
    """Two of them, each 0.4 * (1 + 1) for one output; what did not run adds nothing."""
    network = nn.Sequential(Auxiliary(), Auxiliary())
    added = AddedLosses(network)
    network(torch.ones(1))
    found = added.take(torch.sum)
    assert found is not None
    assert torch.isclose(found, torch.tensor(1.6))
    assert added.take(torch.sum) is None
    network[0](torch.ones(1))
    found = added.take(torch.sum)
    assert found is not None
    assert torch.isclose(found, torch.tensor(0.8))
