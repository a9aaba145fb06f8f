"""A classifier as a backbone: its last feature map at each stride."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import archwright as aw
from archwright.core import catalog
from archwright.core.errors import InvalidValueError
from archwright.nn.features import features_only
from archwright.spaces import open_architecture, open_space

CONVOLUTIONAL = [entry.name for entry in catalog.entries("space") if not entry.name.endswith("rnn")]


def on_meta(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A published network on the meta device, and its input."""
    found = open_architecture(name)
    with torch.device("meta"):
        return found.space.build(found.arch), found.space.input_shape


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnasnet-a1", [(2, 16), (4, 24), (8, 40), (16, 112), (32, 320)]),
        ("fbnet-c", [(2, 16), (4, 24), (8, 32), (16, 112), (32, 352)]),
        ("proxyless-gpu", [(2, 24), (4, 32), (8, 56), (16, 128), (32, 432)]),
        ("spos-block", [(2, 16), (4, 64), (8, 160), (16, 320), (32, 640)]),
    ],
)
def test_channels_of_published_networks(name: str, expected: list[tuple[int, int]]) -> None:
    """The last stage of each stride: the 1x1 convolution before the pooling is the classifier's."""
    assert features_only(*on_meta(name)).strides_and_channels == expected


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_space(name: str) -> None:
    """The maps of a random member have the channels and sides that are said."""
    space = open_space(name)
    if len(space.input_shape) != 3:
        pytest.skip("takes no images")
    with torch.device("meta"):
        network = space.build(space.sample(1, np.random.default_rng(0))[0])
        backbone = features_only(network, space.input_shape).eval()
        maps = backbone(torch.empty(2, *space.input_shape))
    side = min(space.input_shape[1:])
    assert len(maps) == len(backbone.features) >= 1
    strides = [feature.stride for feature in backbone.features]
    assert strides == sorted(set(strides))
    for feature, found in zip(backbone.features, maps, strict=True):
        assert found.shape[:2] == (2, feature.channels)
        assert 0.7 < side / min(found.shape[2:]) / feature.stride < 1.43


class Cells(nn.Module):
    """Cells that each read the two before them; the second one halves its image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.cells = nn.ModuleList(Cell(stride) for stride in (1, 2, 1))
        self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        before = now = self.stem(x)
        for cell in self.cells:
            before, now = now, cell(before, now)
        return self.linear(self.pool(now).flatten(1))


class Cell(nn.Module):
    """Prepares its inputs at the old size."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.prepare = nn.Conv2d(4, 4, 1)
        self.ops = nn.ModuleList([nn.Conv2d(4, 4, 3, stride, 1), nn.MaxPool2d(3, stride, 1)])

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        before = before[:, :, :: before.shape[2] // now.shape[2], :: before.shape[2] // now.shape[2]]
        return self.ops[0](self.prepare(before)) + self.ops[1](now)


def test_stages_that_their_owner_calls_one_by_one() -> None:
    """A sequence that is never called as a whole."""

    class Staged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1))

        def forward(self, x: Tensor) -> Tensor:
            for stage in self.stages:
                x = stage(x)
            return x

    assert features_only(Staged(), (3, 16, 16)).strides_and_channels == [(2, 4), (4, 8)]


@pytest.mark.parametrize(("kernel", "stride"), [(7, 7), (14, 14), (3, 3)])
def test_strides_that_are_no_powers_of_two(kernel: int, stride: int) -> None:
    """Patches: of 28 pixels, four a side of 7."""
    network = nn.Sequential(nn.Conv2d(3, 4, kernel, stride), nn.ReLU())
    assert features_only(network, (3, 28, 28)).strides_and_channels == [(stride, 4)]


def test_valid_convolutions_do_not_change_the_stride() -> None:
    """28 pixels, 24 behind a kernel of 5, 12, 8: seven pixels a pixel, but the stride is 2."""
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.MaxPool2d(2), nn.Conv2d(4, 8, 5), nn.Flatten(), nn.Linear(512, 10))
    assert features_only(network, (3, 28, 28)).strides_and_channels == [(1, 4), (2, 8)]


def test_cells_with_two_inputs() -> None:
    """What a cell gives, never what happens inside it, nor the pooled point behind the last one."""
    network = Cells().eval()
    backbone = aw.features_only(network, (3, 8, 8))
    assert [(f.stride, f.channels, f.path) for f in backbone.features] == [(1, 4, "cells.0"), (2, 4, "cells.2")]
    x, seen = torch.randn(2, 3, 8, 8), []
    handle = network.cells[0].register_forward_hook(lambda _module, _given, out: seen.append(out))
    fine, coarse = backbone(x)
    handle.remove()
    assert torch.equal(fine, seen[0])
    assert torch.equal(network.linear(network.pool(coarse).flatten(1)), network(x))


def test_gradients_reach_all_parameters_of_a_chain() -> None:
    """The classifier is left out, so that nothing trains in vain."""
    space = aw.spaces.ProxylessNas(input_shape=(3, 32, 32), n_classes=5)
    backbone = features_only(space.build(space.parse("0" * 21)), (3, 32, 32))
    sum(found.mean() for found in backbone(torch.randn(2, 3, 32, 32))).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_nothing_is_left_behind() -> None:
    """The network keeps its mode, its weights and its forward; a copy of the backbone stands alone."""
    network = Cells()
    backbone = features_only(network, (3, 8, 8))
    assert all(part.training and not part._forward_hooks for part in network.modules())
    copied = copy.deepcopy(backbone)
    x = torch.randn(1, 3, 12, 12)
    assert all(torch.equal(one, other) for one, other in zip(backbone(x), copied(x), strict=True))


def test_what_has_no_feature_map_is_refused() -> None:
    """A network of linear layers, an input that is no image."""
    with pytest.raises(InvalidValueError, match="no feature map"):
        features_only(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), (3, 4, 4))
    with pytest.raises(InvalidValueError, match="images"):
        features_only(nn.Linear(3, 2), (3,))


class Pair(nn.Module):
    """A stage that gives its map and something else."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.conv(x)
        return found, found.mean()


def test_stages_that_give_several_tensors() -> None:
    """The map is handed out, not the tuple."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = Pair(3, 8), Pair(8, 16)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.other(self.one(x)[0])[0]
            return found

    maps = features_only(Network(), (3, 32, 32))(torch.zeros(1, 3, 32, 32))
    assert [tuple(found.shape) for found in maps] == [(1, 8, 16, 16), (1, 16, 8, 8)]


def test_maps_that_are_overwritten_later_are_copied() -> None:
    """By an activation in place at the start of the next stage."""
    torch.manual_seed(0)
    one = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8))
    other = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16))
    network, x = nn.Sequential(one, other).eval(), torch.randn(1, 3, 32, 32)
    backbone = features_only(network, (3, 32, 32))
    assert [feature.is_overwritten for feature in backbone.features] == [True, False]
    assert torch.equal(backbone(x)[0], network[0](x))


def test_maps_that_grow_again() -> None:
    """The finest is made last: no stage is cut off."""
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(4, 5, 3, padding=1)]
    backbone = features_only(nn.Sequential(*layers), (3, 16, 16))
    assert backbone.strides_and_channels == [(1, 5), (2, 8)]
    assert [tuple(found.shape[1:]) for found in backbone(torch.zeros(1, 3, 16, 16))] == [(5, 16, 16), (8, 8, 8)]


def test_maps_larger_than_the_image_are_none() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ConvTranspose2d(4, 7, 2, 2))
    assert features_only(network, (3, 16, 16)).strides_and_channels == [(1, 4)]


def test_a_gate_in_the_network_itself_is_no_end() -> None:
    """A pooling to one pixel whose result scales the map that goes on."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage1, self.pool = nn.Conv2d(3, 8, 3, 2, 1), nn.AdaptiveAvgPool2d(1)
            self.gate, self.stage2 = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 16, 3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stage1(x)
            found: Tensor = self.stage2(x * self.gate(self.pool(x)).sigmoid())
            return found

    assert features_only(Gated(), (3, 32, 32)).strides_and_channels == [(2, 8), (4, 16)]


@pytest.mark.parametrize("side", [8, 16])
def test_channels_that_stand_last_are_refused_whatever_their_number(side: int) -> None:
    """Eight channels beside maps of 8x8 pixels look the same; of a larger image they do not."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.turn = nn.Conv2d(3, 4, 3, 2, 1), Turned()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.turn(self.conv(x))
            return found

    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    with pytest.raises(InvalidValueError, match="which are no maps"):
        features_only(Last(), (3, side, side))


def test_strides_of_networks_for_one_size() -> None:
    """Where a larger image cannot be run, a stride that divides it is taken as it is."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 4, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[2:] == (30, 30)
            found: Tensor = self.patches(x)
            return found

    assert features_only(Fixed(), (3, 30, 30)).strides_and_channels == [(3, 4)]


def test_what_a_network_keeps_of_its_last_run_stays_real() -> None:
    """A table that is made at the first call is made of the caller's images, not of descriptions."""

    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.table = nn.Conv2d(3, 8, 3, 2, 1), None

        def forward(self, x: Tensor) -> Tensor:
            if self.table is None:
                self.table = torch.linspace(0, 1, 32, device=x.device)
            found: Tensor = self.conv(x + self.table)
            return found

    network = Caching()
    features_only(network, (3, 32, 32))
    aw.costs.count(network, (3, 32, 32))
    assert network.table is None
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 16, 16)
