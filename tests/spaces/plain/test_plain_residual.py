"""The plain residual network against torchvision's ResNet-18."""

from __future__ import annotations

import itertools

import pytest
import torch
import torchvision

from archwright.core.errors import InvalidValueError
from archwright.costs import Macs, Params, count
from archwright.spaces import PlainResidual, Space
from archwright.testing import SpaceContract


class TestContract(SpaceContract):
    n_archs = 2
    n_images = 8

    def make(self) -> Space:
        return PlainResidual(input_shape=(1, 32, 32), n_classes=3, max_width=4)


def test_at_width_64_it_is_resnet_18() -> None:
    """The published figures, and the same outputs with torchvision's weights, tensor by tensor in order."""
    torch.manual_seed(0)
    space, theirs = PlainResidual(), torchvision.models.resnet18(weights=None).eval()
    network = space.build(space.parse("64")).eval()
    counted = count(network, space.signature)
    assert (counted.params, counted.macs) == (11_689_512, 1_814_073_344)
    pairs = zip(network.state_dict().items(), theirs.state_dict().values(), strict=True)
    network.load_state_dict({name: tensor for (name, _), tensor in pairs}, strict=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(x), theirs(x), atol=1e-5)


def test_costs_rise_with_the_width() -> None:
    """From 64 pixels on, where it is used."""
    space = PlainResidual(input_shape=(3, 64, 64), n_classes=10, max_width=16)
    for cost in (Params(), Macs()):
        values = cost.cost_rows(space, space.decisions.enumerate_rows())
        assert all(a < b for a, b in itertools.pairwise(values))


def test_small_images_are_refused() -> None:
    """The plain chain is for those."""
    with pytest.raises(InvalidValueError, match="images of at least 32 pixels a side, not 28"):
        PlainResidual(input_shape=(1, 28, 28))
