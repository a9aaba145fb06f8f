"""Memory access, activation peak and model size against sums by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.costs.counting.count import Count, count
from archwright.nn import selection_of
from archwright.spaces import Space, SposSpace
from archwright.testing import BranchSpace, ElasticSpace, LooseEndsSpace, MBConvSpace


class Run(nn.Module):
    """A function of the input and of modules as a module."""

    def __init__(self, fn: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.fn, self.parts = fn, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.fn(x, *self.parts)


def accessed(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Memory access in numbers of four bytes."""
    return count(module, shape).memory_access_bytes / 4


def peak(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Activation peak in float32 numbers."""
    return count(module, shape).activation_peak_bytes / 4


# ── memory access ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("module", "numbers"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), 3 * 25 + 8 * 25 + 8 * 3 * 9 + 8),
        (nn.Conv2d(3, 6, 3, stride=2, groups=3, bias=False), 3 * 25 + 6 * 4 + 6 * 9),
        (nn.BatchNorm2d(3), 3 * 25 + 3 * 25 + 2 * 3),
        (nn.BatchNorm2d(3, affine=False), 3 * 25 + 3 * 25),
        (nn.ReLU(), 2 * 75),
        (nn.ReLU(inplace=True), 2 * 75),
        (nn.MaxPool2d(2), 75 + 3 * 4),
        (nn.AvgPool2d(2), 75 + 3 * 4),
        (nn.AdaptiveAvgPool2d(1), 75 + 3),
        (nn.Linear(5, 7), 75 + 3 * 5 * 7 + 5 * 7 + 7),
        (nn.PReLU(3), 2 * 75 + 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_access_of_layers(module: nn.Module, numbers: int) -> None:
    """Input, output and parameters of one layer on 3 x 5 x 5 numbers; running statistics are none of them."""
    assert accessed(module, (3, 5, 5)) == numbers


@pytest.mark.parametrize("module", [nn.Identity(), nn.Flatten(), nn.Dropout(), nn.Sequential()], ids=repr)
def test_what_moves_nothing(module: nn.Module) -> None:
    """Views and what passes its input on cost no access; the input alone is the peak."""
    assert (accessed(module, (3, 5, 5)), peak(module, (3, 5, 5))) == (0, 75)


def test_access_of_a_chain_is_that_of_its_layers() -> None:
    """Convolution to 4 x 2 x 2, ReLU, flattened for free, linear layer to 5."""
    network = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    assert accessed(network, (1, 3, 3)) == (9 + 16 + 4 * 4 + 4) + 2 * 16 + (16 + 5 + 16 * 5 + 5)


def test_a_residual_sum_is_a_leaf_of_the_block() -> None:
    """The block's own addition reads two tensors and writes one, under the block's path."""
    block = nn.Sequential(Run(lambda x, conv: x + conv(x), nn.Conv2d(2, 2, 3, padding=1, bias=False)))
    leaves = count(block, (2, 4, 4)).leaves
    assert {path: leaf.memory_access_bytes / 4 for path, leaf in leaves.items()} == {
        "0": 3 * 32,
        "0.parts.0": 32 + 32 + 2 * 2 * 9,
    }
    assert leaves["0"].reads_from == {"0.parts.0"}


def test_what_a_leaf_uses_up_itself_is_not_written() -> None:
    """x sigmoid(x) + 1 reads x once and writes the end."""
    assert accessed(Run(lambda x: x * torch.sigmoid(x) + 1), (6,)) == 6 + 6


def test_what_others_read_is_written() -> None:
    """2x is made by the parent for its child: 6 read, 6 written, then the child's own."""
    assert accessed(Run(lambda x, linear: linear(2 * x), nn.Linear(6, 2, bias=False)), (6,)) == 6 + 6 + (6 + 2 + 12)


def test_a_part_is_read_as_a_part() -> None:
    """Half the channels of 4 x 3 x 3: 18 in, 18 out; the join behind reads both halves and writes 36."""
    split = Run(lambda x, relu: torch.cat([x[:, :2], relu(x[:, 2:])], 1), nn.ReLU())
    assert accessed(split, (4, 3, 3)) == 2 * 18 + 2 * 36


def test_a_layer_that_is_called_twice_moves_twice() -> None:
    """Its weight too, although it is stored once."""
    network = Run(lambda x, linear: linear(linear(x)), nn.Linear(3, 3, bias=False))
    assert accessed(network, (3,)) == 2 * (3 + 3 + 9)
    assert count(network, (3,)).model_size_bytes == 4 * 9


def test_a_weight_read_by_another_module_counts_where_it_is_read() -> None:
    """Attention multiplies by the weights of a child that it never calls: all four projections are read."""
    attention = Run(lambda x, part: part(x, x, x, need_weights=False)[0], nn.MultiheadAttention(8, 2, batch_first=True))
    leaf = count(attention, (5, 8)).leaves["parts.0"]
    assert leaf.memory_access_bytes / 4 == 5 * 8 + 5 * 8 + 4 * 8 * 8 + 4 * 8


def test_four_bytes_whatever_the_type() -> None:
    """Memory access is stated for 32-bit numbers; the peak is in the tensors' own."""
    assert accessed(Run(lambda x: x.double() * 2), (6,)) == 6 + 6
    assert count(Run(lambda x: x.double() * 2), (6,)).activation_peak_bytes == 6 * 8 + 6 * 8


# ── activation peak ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("network", "shape", "numbers"),
    [
        # 9 in, 16 out, 16 more, 5: the ReLU holds two of 16
        (nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)), (1, 3, 3), 32),
        # in place is not smaller
        (nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(inplace=True)), (1, 3, 3), 32),
        # the input is needed once only: 10 + 2, then 2 + 3
        (nn.Sequential(nn.Linear(10, 2), nn.Linear(2, 3)), (10,), 12),
        # 3 + 20, 20 + 4
        (nn.Sequential(nn.Linear(3, 20), nn.Linear(20, 4)), (3,), 24),
        # nothing but the pooled map, no indices
        (nn.MaxPool2d(2), (1, 4, 4), 16 + 4),
        # a view is what it looks at
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 8)), nn.ReLU()), (1, 4, 4), 32),
    ],
)
def test_peak_of_chains(network: nn.Module, shape: tuple[int, ...], numbers: int) -> None:
    """The largest sum of an operation's input and output."""
    assert peak(network, shape) == numbers


def test_a_residual_keeps_its_input() -> None:
    """x of 4 stays until the sum: 4 + 10 while the first layer runs, 4 + 10 + 4 in the second, 4 + 4 + 4 in the sum."""
    layers = (nn.Linear(4, 10), nn.Linear(10, 4))
    assert peak(Run(lambda x, a, b: x + b(a(x)), *layers), (4,)) == 18
    assert peak(Run(lambda x, a, b: b(a(x)), *layers), (4,)) == 14


def test_branches_live_until_they_are_joined() -> None:
    """Three branches of 5 from 5, joined to 15: 5 + 5 + 5 and, x gone, 15 more; x is last read by the third branch."""
    layers = [nn.Linear(5, 5) for _ in range(3)]
    assert peak(Run(lambda x, *parts: torch.cat([part(x) for part in parts], 1), *layers), (5,)) == 15 + 15


def test_results_live_to_the_end() -> None:
    """The first result of 5 is returned, so it is there while the second of 9 is made from x of 2."""
    both = Run(lambda x, a, b: (a(x), b(x)), nn.Linear(2, 5), nn.Linear(2, 9))
    assert peak(both, (2,)) == 2 + 5 + 9


def test_weights_are_no_activations() -> None:
    """Nor is what is computed from them alone: a normalised weight of 12."""
    network = Run(lambda x, linear: x @ torch.tanh(linear.weight).t(), nn.Linear(3, 4))
    counted = count(network, (3,))
    assert (counted.activation_peak_bytes / 4, counted.memory_access_bytes / 4) == (3 + 4, 3 + 4 + 12)


def test_writing_to_a_part_needs_no_second_whole() -> None:
    """A buffer of 8 filled from x of 4."""

    def fill(x: Tensor) -> Tensor:
        out = x.new_zeros(1, 8)
        out[:, :4] = x
        return out

    assert peak(Run(fill), (4,)) == 12


# ── model size ────────────────────────────────────────────────────────────────────────────────────


def test_model_size_follows_the_types() -> None:
    """Half-precision weights 2 bytes, statistics 4, the norm's counter 8; what is not saved does not count."""
    network = nn.Sequential(nn.Conv2d(1, 3, 2, bias=False).half(), nn.BatchNorm2d(3))
    network.register_buffer("scratch", torch.zeros(100), persistent=False)
    state = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    assert _size(network) == 12 * 2 + 4 * 3 * 4 + 8 == state


def _size(network: nn.Module) -> int:
    with torch.device("meta"):
        return count(Run(lambda x, part: x + 1, network), (1,)).model_size_bytes


# ── supernets ─────────────────────────────────────────────────────────────────────────────────────


def _figures(counted: Count) -> tuple[int, int, int]:
    return counted.memory_access_bytes, counted.activation_peak_bytes, counted.model_size_bytes


@pytest.mark.parametrize(
    "space",
    [ElasticSpace(), BranchSpace(), MBConvSpace(), LooseEndsSpace(), SposSpace(input_shape=(1, 16, 16), n_classes=10)],
    ids=lambda space: type(space).__name__,
)
def test_a_supernet_is_measured_as_its_active_arch(space: Space) -> None:
    """Cut weights are read as far as they are active, as in the built network."""
    supernet = space.supernet()
    for arch in space.sample(5, np.random.default_rng(0)):
        selection_of(supernet).activate(arch)
        searched, fixed = count(supernet, space.input_shape), count(space.build(arch), space.input_shape)
        assert _figures(searched) == _figures(fixed)


def test_memory_can_be_left_out() -> None:
    """Where only operations are counted."""
    counted = count(nn.Linear(3, 4), (3,), memory=False)
    assert (counted.memory_access_bytes, counted.activation_peak_bytes, counted.model_size_bytes) == (0, 0, 64)
