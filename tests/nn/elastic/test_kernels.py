"""Kernels that are transformed into smaller ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import SpaceError
from archwright.nn import Chooser, Fixed, Supernet, TransformedConv2d, extract, selection_of

KERNELS = (3, 5, 7)


def build(choose: Chooser) -> nn.Sequential:
    """A depth-wise convolution of 2 or 4 channels."""
    width, kernel = choose.number("width", (2, 4)), choose.number("kernel", KERNELS)
    return nn.Sequential(TransformedConv2d(width, width, kernel, groups=width, bias=False))


def supernet(width: int, kernel: int, *, random: bool = True) -> nn.Sequential:
    """The convolution with an arch active; its matrices are random unless told otherwise."""
    torch.manual_seed(0)
    network = build(Supernet())
    selection_of(network).activate({"width": width, "kernel": kernel})
    if random:
        for name, parameter in network[0].named_parameters():
            if name.startswith("matrix"):
                nn.init.normal_(parameter)
    return network


def test_small_kernels_begin_as_the_centre_of_the_largest() -> None:
    """The matrices begin as identities."""
    network, x = supernet(4, 3, random=False), torch.randn(2, 4, 6, 6)
    weight = network[0].get_parameter("weight")
    assert torch.equal(network(x), F.conv2d(x, weight[:, :, 2:5, 2:5], padding=1, groups=4))


def small(conv: nn.Module, width: int) -> Tensor:
    """The 3x3 weight by hand: centre of 7, times a matrix, its centre, times the other."""
    weight = conv.get_parameter("weight").double()
    five, three = (conv.get_parameter(name).double() for name in ("matrix_7to5", "matrix_5to3"))
    found = torch.zeros(width, 1, 3, 3, dtype=torch.float64)
    for c in range(width):
        middle = (five @ weight[c, 0, 1:6, 1:6].flatten()).reshape(5, 5)
        found[c, 0] = (three @ middle[1:4, 1:4].flatten()).reshape(3, 3)
    return found


@pytest.mark.parametrize("width", [2, 4])
def test_a_kernel_is_the_centre_of_the_next_larger_one_times_its_matrix(width: int) -> None:
    """From 7 to 5 and on to 3; the same matrices for every channel."""
    network, x = supernet(width, 3), torch.randn(2, width, 6, 6)
    expected = F.conv2d(x.double(), small(network[0], width), padding=1, groups=width)
    assert (network(x) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kernel", KERNELS)
def test_extracted_weight_is_the_transformed_one(kernel: int) -> None:
    """A plain convolution of that kernel, with the same result to the bit."""
    network, x = supernet(2, kernel), torch.randn(2, 2, 6, 6)
    plain = extract(build, network, {"width": 2, "kernel": kernel})
    assert type(plain[0]) is nn.Conv2d  # type: ignore[index]
    assert torch.equal(plain(x), network(x))
    assert isinstance(plain[0].weight, nn.Parameter)  # type: ignore[index]


def test_gradients_reach_the_largest_weight_and_the_matrices_in_use() -> None:
    """At 5x5 the matrix from 5 to 3 is not used."""
    network = supernet(4, 5)
    network(torch.randn(2, 4, 6, 6)).square().sum().backward()
    given = {name for name, parameter in network[0].named_parameters() if parameter.grad is not None}
    assert given == {"weight", "matrix_7to5"}


def test_a_plain_kernel_gives_a_plain_convolution() -> None:
    """No matrices where nothing is chosen."""
    assert type(TransformedConv2d(4, 4, 3, groups=4)) is nn.Conv2d
    assert type(build(Fixed({"width": 2, "kernel": 5}))[0]) is nn.Conv2d


def test_a_computed_kernel_is_refused() -> None:
    """Which kernels there are could not be known."""
    with pytest.raises(SpaceError, match="the very value of choose"):
        TransformedConv2d(4, 4, Supernet().number("k", (1, 2)) * 2)
