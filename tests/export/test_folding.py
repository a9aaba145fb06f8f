"""Folding keeps the logits and leaves alone what it must not touch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.export.folding import fold_batch_norms


def pair(affine: bool = True) -> nn.Sequential:
    """A convolution and a batch norm with statistics far from 0 and 1."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6, affine=affine)
    norm.running_mean = torch.randn(6)
    norm.running_var = torch.rand(6) + 0.5
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), norm, nn.ReLU()).eval()


class Backwards(nn.Sequential):
    """Runs its children in the other order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in reversed(list(self)):
            x = module(x)
        return x


@pytest.mark.parametrize("affine", [True, False])
def test_logits_stay_and_the_norm_is_gone(affine: bool) -> None:
    """Grouped convolution without bias; an identity takes the norm's place."""
    network, x = pair(affine), torch.randn(2, 4, 5, 5)
    expected = network(x)
    assert fold_batch_norms(network) == 1
    assert isinstance(network[1], nn.Identity)
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


def test_shared_hooked_reordered_and_stateless_are_left() -> None:
    """A norm used twice, a hooked one, a subclass of Sequential, and a norm without statistics."""
    shared, hooked = pair(), pair()
    shared.append(shared[1])
    hooked[0].register_forward_hook(lambda module, inputs, output: output + 1)
    stateless = nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, track_running_stats=False)).eval()
    backwards = Backwards(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    assert [fold_batch_norms(network) for network in (shared, hooked, stateless, backwards)] == [0, 0, 0, 0]


def test_training_mode_is_left() -> None:
    """A training norm uses the batch's statistics, which no weight can hold."""
    assert fold_batch_norms(pair().train()) == 0
