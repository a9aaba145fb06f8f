"""The LeNet space against hand formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError
from archwright.costs import Macs, count, open_costs
from archwright.costs.tables.counted import tables_of
from archwright.nn import selection_of
from archwright.nn.sizes import places
from archwright.spaces import LeNet, Space
from archwright.testing import SpaceContract

VALUES = ((3, 6, 9), (3, 5, 7), (12, 16, 20), (3, 5, 7), (64, 128, 256), (32, 84, 120))
NAMES = ("conv1.channels", "conv1.kernel", "conv2.channels", "conv2.kernel", "hidden1", "hidden2")
LIMIT = 52_428


class TestContract(SpaceContract):
    def make(self) -> Space:
        return LeNet(input_shape=(1, 24, 22))


def n_params(c1: int, k1: int, c2: int, k2: int, h1: int, h2: int) -> int:
    """Weights and biases of the five layers at 28 x 28 in one channel and ten classes."""
    side = (28 - k1 + 1) // 2
    side = (side - k2 + 1) // 2
    convolutions = (k1 * k1 + 1) * c1 + (k2 * k2 * c1 + 1) * c2
    return convolutions + (c2 * side * side + 1) * h1 + (h1 + 1) * h2 + (h2 + 1) * 10


def n_macs(c1: int, k1: int, c2: int, k2: int, h1: int, h2: int) -> int:
    """Multiply-accumulates of the same network."""
    first = 28 - k1 + 1
    second = first // 2 - k2 + 1
    convolutions = first**2 * k1 * k1 * c1 + second**2 * k2 * k2 * c1 * c2
    return convolutions + c2 * (second // 2) ** 2 * h1 + h1 * h2 + h2 * 10


@pytest.fixture(scope="module")
def space() -> LeNet:
    return LeNet()


def test_decisions_and_size(space: LeNet) -> None:
    """Six decisions of three values."""
    assert space.decisions.names == NAMES
    assert tuple(decision.values for decision in space.decisions) == VALUES
    assert space.size() == 3**6 == 729


def test_costs_of_all_members_are_those_of_the_hand_formulas(space: LeNet) -> None:
    """Bytes and multiply-accumulates; both are looked up, not counted one by one."""
    rows = space.decisions.enumerate_rows()
    (size,) = open_costs(["model_size_bytes"])
    assert size.cost_rows(space, rows).tolist() == [4 * n_params(*values) for values in itertools.product(*VALUES)]
    assert Macs().cost_rows(space, rows).tolist() == [n_macs(*values) for values in itertools.product(*VALUES)]
    assert tables_of(space).is_additive


def test_seventeen_members_keep_the_limit() -> None:
    """52,428 bytes: counted by hand."""
    assert sum(4 * n_params(*values) <= LIMIT for values in itertools.product(*VALUES)) == 17


def test_a_network_layer_by_layer(space: LeNet) -> None:
    """6 and 16 channels, 5x5 kernels: the sides are 24 and 12, then 8 and 4."""
    network = space.build(Arch(dict(zip(NAMES, (6, 5, 16, 5, 128, 84), strict=True))))
    shapes = []
    x = torch.zeros(2, 1, 28, 28)
    for name, stage in network.named_children():
        x = stage(x)
        shapes.append((name, tuple(x.shape[1:])))
    assert shapes == [
        *(("conv1", (6, 12, 12)), ("conv2", (16, 4, 4)), ("flatten", (256,))),
        *(("hidden1", (128,)), ("hidden2", (84,)), ("classifier", (10,))),
    ]
    layers = [layer for layer in network.modules() if not list(layer.children())]
    assert [type(layer) for layer in layers] == [
        *(nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten),
        *(nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear),
    ]
    assert count(network, (1, 28, 28)).params == n_params(6, 5, 16, 5, 128, 84)


def test_a_pixel_meets_the_same_weights_in_every_form(space: LeNet) -> None:
    """12 of 20 channels of 3x3 pixels: the centre of each of the first 12 squares of 5x5 features."""
    network = space.supernet()
    selection_of(network).activate(dict(zip(NAMES, (3, 3, 12, 7, 64, 32), strict=True)))
    layer = network.get_submodule("hidden1.0")
    found = np.concatenate([np.arange(place.start, place.stop) for place in places(layer.sizes[0])])
    expected = np.arange(500).reshape(20, 5, 5)[:12, 1:4, 1:4].ravel()
    assert found.tolist() == expected.tolist()


def test_colour_images_and_other_classes() -> None:
    """The first convolution and the classifier grow with them."""
    space = LeNet(input_shape=(3, 32, 40), n_classes=5)
    assert space.build(space.parse("222222"))(torch.zeros(1, 3, 32, 40)).shape == (1, 5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8), "images of at least 22x22 pixels, not 8x8; give larger images"),
        ((3, 32, 21), "not 32x21"),
        ((28, 28), "takes images"),
    ],
)
def test_images_that_are_too_small_are_refused(shape: tuple[int, ...], message: str) -> None:
    """By the smallest that fit."""
    with pytest.raises(InvalidValueError, match=message):
        LeNet(input_shape=shape)


def test_the_smallest_image_leaves_a_pixel() -> None:
    """22 pixels and two 7x7 kernels."""
    space = LeNet(input_shape=(1, 22, 22))
    network = space.build(space.parse("222222"))
    assert network.get_submodule("hidden1.0").in_features == 20
