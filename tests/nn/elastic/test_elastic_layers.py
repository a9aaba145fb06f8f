"""Elastic layers against torch's own functions on slices written out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.core.errors import SpaceError
from archwright.nn import BatchNorm2d, Conv2d, Linear, Supernet
from archwright.nn.sizes import flattened


@pytest.fixture
def chooser() -> Supernet:
    torch.manual_seed(0)
    return Supernet()


def test_plain_sizes_give_torchs_own_layers() -> None:
    """No subclass: what is exported from a fixed network knows nothing of a search."""
    assert type(Conv2d(3, 4, 3)) is nn.Conv2d
    assert type(BatchNorm2d(4)) is nn.BatchNorm2d
    assert type(Linear(4, 5)) is nn.Linear


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_a_plain_convolution_keeps_the_image_size(kernel: int) -> None:
    """At stride 1, whatever the kernel."""
    assert Conv2d(3, 4, kernel)(torch.zeros(1, 3, 9, 9)).shape == (1, 4, 9, 9)


@pytest.mark.parametrize(("n_in", "n_out", "kernel"), [(2, 3, 1), (4, 6, 5), (2, 6, 3), (4, 3, 5)])
def test_convolution_uses_first_channels_and_centre(chooser: Supernet, n_in: int, n_out: int, kernel: int) -> None:
    """The slice of the 6 x 4 x 5 x 5 weight, cut by hand."""
    sizes = chooser.number("in", [2, 4]), chooser.number("out", [3, 6]), chooser.number("kernel", [1, 3, 5])
    conv = Conv2d(*sizes, stride=2)
    chooser.selection.activate({"in": n_in, "out": n_out, "kernel": kernel})
    assert conv.weight.shape == (6, 4, 5, 5)
    x = torch.randn(2, n_in, 8, 8)
    margin = (5 - kernel) // 2
    weight = conv.weight[:n_out, :n_in, margin : 5 - margin, margin : 5 - margin]
    expected = F.conv2d(x, weight, conv.bias[:n_out], stride=2, padding=kernel // 2)
    assert torch.equal(conv(x), expected)


def test_depthwise_convolution_follows_its_width(chooser: Supernet) -> None:
    """groups is the very value of the input channels: one filter a channel."""
    width = chooser.number("width", [2, 4])
    conv = Conv2d(width, width, 3, groups=width, bias=False)
    chooser.selection.activate({"width": 2})
    x = torch.randn(2, 2, 5, 5)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight[:2], padding=1, groups=2))


def test_depthwise_convolution_of_plain_width_and_elastic_kernel(chooser: Supernet) -> None:
    """groups equal to the plain number of input channels."""
    conv = Conv2d(4, 4, chooser.number("kernel", [1, 3]), groups=4, bias=False)
    chooser.selection.activate({"kernel": 1})
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight[..., 1:2, 1:2], groups=4))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_without_padding_the_image_follows_the_kernel(chooser: Supernet, kernel: int) -> None:
    """The centre of the largest kernel on every place where it fits into 7x7 pixels; the plain layer does the same."""
    conv = Conv2d(2, 3, chooser.number("kernel", [1, 3, 5]), padding=0)
    chooser.selection.activate({"kernel": kernel})
    x = torch.randn(2, 2, 7, 7)
    cut = (5 - kernel) // 2
    centre = conv.weight[..., cut : 5 - cut, cut : 5 - cut]
    assert torch.equal(conv(x), F.conv2d(x, centre, conv.bias))
    assert conv(x).shape == Conv2d(2, 3, kernel, padding=0)(x).shape == (2, 3, 8 - kernel, 8 - kernel)


def test_a_linear_layer_reads_a_smaller_image_in_the_centre_of_the_largest(chooser: Supernet) -> None:
    """2 of 3 channels of 3x2 of 5x4 pixels, cut by hand."""
    channels, side = chooser.number("channels", [2, 3]), chooser.number("height", [3, 5])
    layer = Linear(flattened(channels, side, chooser.number("width", [2, 4])), 6)
    chooser.selection.activate({"channels": 2, "height": 3, "width": 2})
    x = torch.randn(4, 2, 3, 2)
    centre = layer.weight.reshape(6, 3, 5, 4)[:, :2, 1:4, 1:3]
    assert torch.equal(layer(x.flatten(1)), F.linear(x.flatten(1), centre.flatten(1), layer.bias))


@pytest.mark.parametrize("case", ["two plain groups", "groups of another decision", "plain groups of elastic width"])
def test_other_groups_are_refused(chooser: Supernet, case: str) -> None:
    """A slice of the first channels would mix up their groups."""
    width, other = chooser.number("width", [4, 8]), chooser.number("other", [4, 8])
    arguments = {
        "two plain groups": (4, 4, chooser.number("kernel", [1, 3]), 2),
        "groups of another decision": (width, width, 3, other),
        "plain groups of elastic width": (width, width, 3, 8),
    }[case]
    with pytest.raises(SpaceError, match="1 group"):
        Conv2d(*arguments[:3], groups=arguments[3])


def test_linear_uses_first_features(chooser: Supernet) -> None:
    """Rows and columns of the 6 x 4 matrix, cut by hand."""
    layer = Linear(chooser.number("in", [2, 4]), chooser.number("out", [3, 6]))
    chooser.selection.activate({"in": 2, "out": 3})
    x = torch.randn(5, 2)
    assert torch.equal(layer(x), F.linear(x, layer.weight[:3, :2], layer.bias[:3]))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_trains_as_torchs_own(chooser: Supernet, momentum: float | None) -> None:
    """Outputs and statistics of three training steps at full width, exponential and cumulative."""
    norm, reference = BatchNorm2d(chooser.number("width", [2, 4])), nn.BatchNorm2d(4)
    norm.momentum = reference.momentum = momentum
    chooser.selection.activate({"width": 4})
    for _ in range(3):
        x = torch.randn(8, 4, 3, 3)
        assert torch.equal(norm(x), reference(x))
    assert torch.equal(norm.running_var, reference.running_var)
    norm.eval(), reference.eval()
    assert torch.equal(norm(x), reference(x))


def test_batch_norm_at_half_width_leaves_the_rest_alone(chooser: Supernet) -> None:
    """Statistics of the channels that did not run stay where they were."""
    norm = BatchNorm2d(chooser.number("width", [2, 4]))
    chooser.selection.activate({"width": 2})
    norm(torch.randn(8, 2, 3, 3) + 5)
    assert (norm.running_mean[:2] > 0.3).all()
    assert (norm.running_mean[2:] == 0).all()


def test_inactive_slices_get_zero_gradient(chooser: Supernet) -> None:
    """Only the active part of a weight learns."""
    layer = Linear(chooser.number("in", [2, 4]), 3)
    chooser.selection.activate({"in": 2})
    layer(torch.randn(5, 2)).sum().backward()
    assert (layer.weight.grad[:, :2] != 0).all()
    assert (layer.weight.grad[:, 2:] == 0).all()
