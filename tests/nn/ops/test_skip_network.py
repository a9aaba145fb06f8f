"""Joining images of different sizes, and layers that read any earlier ones."""

from __future__ import annotations

import torch
from torch import nn

from archwright.nn.ops.skip_network import PaddedConcat, SkipNetwork


def test_smaller_images_get_zeros() -> None:
    """32 x 32 and 16 x 16 give 32 x 32, zero outside the smaller map."""
    large, small = torch.rand(2, 3, 32, 32) + 1, torch.rand(2, 5, 16, 16) + 1
    joined = PaddedConcat([3, 5])([large, small])
    assert joined.shape == (2, 8, 32, 32)
    assert torch.equal(joined[:, :3], large)
    assert torch.equal(joined[:, 3:, :16, :16], small)
    assert joined[:, 3:].count_nonzero() == small.numel()


def test_height_and_width_are_padded_each_on_its_own() -> None:
    """A high and a wide image."""
    joined = PaddedConcat([1, 1])([torch.ones(1, 1, 6, 2), torch.ones(1, 1, 3, 4)])
    assert joined.shape == (1, 2, 6, 4)
    assert joined.sum((0, 2, 3)).tolist() == [12, 12]


def test_what_is_left_out_has_no_say_in_the_size() -> None:
    """Only what is joined is looked at."""
    images = [torch.ones(1, 2, 9, 9), torch.ones(1, 3, 4, 4), torch.ones(1, 1, 2, 3)]
    assert PaddedConcat([0, 3, 1])(images).shape == (1, 4, 4, 4)
    assert PaddedConcat([0, 0, 1])(images) is images[2]


def test_layers_read_what_their_joins_name() -> None:
    """Layer 2 reads the image and layer 1, the head what neither reads."""
    joins = [PaddedConcat([1]), PaddedConcat([1, 1])]
    layers = [nn.Conv2d(1, 1, 1), nn.Conv2d(2, 4, 1)]
    network = SkipNetwork(joins, layers, PaddedConcat([0, 0, 4]), nn.Flatten())
    x = torch.randn(2, 1, 3, 3)
    with torch.no_grad():
        expected = layers[1](torch.cat([x, layers[0](x)], 1)).flatten(1)
        assert torch.equal(network(x), expected)
