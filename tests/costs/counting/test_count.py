"""Counting against closed forms and torch's own flop counter."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import deform_conv2d

from archwright.costs.counting.count import count
from archwright.nn import selection_of
from archwright.testing import ElasticSpace


class Run(nn.Module):
    """A plain function as a module."""

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


@pytest.mark.parametrize(
    ("module", "shape", "macs", "params"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), (8, 10, 10), 3 * 3 * 8 * 16 * 10 * 10, 3 * 3 * 8 * 16 + 16),
        (nn.Conv2d(8, 16, (3, 5), 2), (8, 11, 13), 3 * 5 * 8 * 16 * 5 * 5, 3 * 5 * 8 * 16 + 16),
        (nn.Conv2d(8, 16, 3, groups=4, bias=False), (8, 10, 10), 3 * 3 * 2 * 16 * 8 * 8, 3 * 3 * 2 * 16),
        (nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8, bias=False), (8, 7, 7), 5 * 5 * 8 * 7 * 7, 5 * 5 * 8),
        (nn.Conv1d(3, 4, 3), (3, 30), 3 * 3 * 4 * 28, 3 * 3 * 4 + 4),
        (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), 8 * 2 * 3 * 27, 8 * 2 * 3 + 3),
        (nn.Linear(5, 7), (5,), 5 * 7, 5 * 7 + 7),
        (nn.Linear(5, 7, bias=False), (3, 5), 3 * 5 * 7, 5 * 7),
        (nn.Linear(5, 7), (2, 3, 5), 6 * 5 * 7, 5 * 7 + 7),
        (nn.LSTM(5, 7, batch_first=True), (3, 5), 3 * 4 * (5 + 7) * 7, 4 * ((5 + 7) * 7 + 2 * 7)),
        (nn.GRU(5, 7, batch_first=True), (3, 5), 3 * 3 * (5 + 7) * 7, 3 * ((5 + 7) * 7 + 2 * 7)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_in_closed_form(module: nn.Module, shape: tuple[int, ...], macs: int, params: int) -> None:
    """Multiply-accumulates for one input, parameters with biases."""
    counted = count(module, shape)
    assert (counted.macs, counted.params, counted.uncounted) == (macs, params, [])


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_both_ways(groups: int) -> None:
    """By output pixel as usual: 9 x 9 of them from 4 x 4 inputs at stride 2; by input pixel with the switch."""
    module = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups)
    filters = 3 * 3 * 4 * 6 // groups
    assert count(module, (4, 4, 4)).macs == filters * 9 * 9
    assert count(module, (4, 4, 4), transposed_by_input=True).macs == filters * 4 * 4


@pytest.mark.parametrize(
    ("fn", "shape", "macs"),
    [
        (lambda x: x @ x.transpose(1, 2), (3, 4), 3 * 4 * 3),
        (lambda x: torch.matmul(x, x.mT), (2, 3, 4), 2 * 3 * 4 * 3),
        (lambda x: torch.einsum("nij,nkj->nik", x, x), (3, 4), 3 * 4 * 3),
        (lambda x: x[0] @ x[0, 0], (3, 4), 3 * 4),
        (lambda x: x[0, 0] @ x[0, 1], (3, 4), 4),
        (lambda x: torch.addmm(x[0], x[0], x[0]), (4, 4), 4 * 4 * 4),
        (lambda x: torch.baddbmm(x, x, x), (4, 4), 4 * 4 * 4),
        (lambda x: F.conv2d(x, x.new_empty(5, 3, 3, 3)), (3, 6, 6), 3 * 3 * 3 * 5 * 4 * 4),
        (lambda x: F.linear(x, x.new_empty(7, 4)), (4,), 4 * 7),
        (lambda x: F.scaled_dot_product_attention(x, x, x), (2, 3, 4), 2 * 2 * 3 * 3 * 4),
    ],
)
def test_functions_in_closed_form(fn: Callable[[Tensor], Tensor], shape: tuple[int, ...], macs: int) -> None:
    """Products and convolutions that no layer holds are seen as well."""
    counted = count(Run(fn), shape)
    assert (counted.macs, counted.uncounted) == (macs, [])


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself."""

    def __init__(self, *, needs_weights: bool) -> None:
        super().__init__()
        self.attention, self.needs_weights = nn.MultiheadAttention(8, 2, batch_first=True), needs_weights

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=self.needs_weights)[0]


@pytest.mark.parametrize("needs_weights", [True, False])
def test_multihead_attention(needs_weights: bool) -> None:
    """Four projections of 5 x 8 by 8 x 8, and two products of 5 x 5 by 8: in both of torch's implementations."""
    counted = count(SelfAttention(needs_weights=needs_weights), (5, 8))
    assert (counted.macs, counted.uncounted) == (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8, [])
    assert counted.params == 4 * 8 * 8 + 4 * 8


def test_a_transformer_layer() -> None:
    """The attention above and a hidden layer of 16; torch's fused fast path does not hide it."""
    counted = count(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8))
    assert (counted.macs, counted.uncounted) == (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16, [])


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 5, groups=8)),
            (3, 12, 12),
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.GELU(), nn.Linear(5, 2)), (3, 2, 2)),
        (nn.Sequential(nn.Conv1d(2, 4, 3, groups=2), nn.Conv1d(4, 4, 1)), (2, 9)),
        (Run(lambda x: torch.bmm(x, x.mT) @ x), (3, 4)),
        (SelfAttention(needs_weights=True), (5, 8)),
    ],
)
def test_agrees_with_torchs_flop_counter(module: nn.Module, shape: tuple[int, ...]) -> None:
    """On operations both know, run for real: its figure is two a multiply-accumulate."""
    with FlopCounterMode(display=False) as counter:  # with gradients: without, attention takes a path it cannot see
        module.eval()(torch.zeros(1, *shape))
    assert 2 * count(module, shape).macs == counter.get_total_flops() > 0


def test_flop_counter_takes_transposed_convolutions_by_input() -> None:
    """Which is our other convention."""
    module = nn.ConvTranspose2d(4, 6, 3, stride=2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 4, 5, 5))
    assert 2 * count(module, (4, 5, 5), transposed_by_input=True).macs == counter.get_total_flops()


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (torch.linalg.matrix_exp, "linalg_matrix_exp (1 times)"),
        (lambda x: torch.cdist(x, torch.cdist(x, x)), "_cdist_forward (2 times)"),
    ],
)
def test_an_operation_without_a_rule_is_named(fn: Callable[[Tensor], Tensor], name: str) -> None:
    """With how often it ran, and nothing is counted for it."""
    counted = count(Run(fn), (4, 4))
    assert (counted.uncounted, counted.macs) == ([name], 0)


@pytest.mark.parametrize(
    ("fn", "shape", "macs"),
    [
        # 3 outputs of products of 4 and 5 numbers, for 7 rows
        (lambda x: F.bilinear(x[..., :4], x, x.new_empty(3, 4, 5)), (7, 5), 7 * 3 * 4 * 5),
        # 2.5 n log2 n of 16 points for each of 4 rows, and half of it where the points are real
        (lambda x: torch.fft.fft(x + 0j).real, (4, 16), 4 * 2.5 * 16 * 4),
        (lambda x: torch.fft.rfft(x).real, (4, 16), 4 * 1.25 * 16 * 4),
        (lambda x: torch.fft.irfft(torch.complex(x, x), n=16), (4, 9), 4 * 1.25 * 16 * 4),
        (lambda x: torch.fft.fft2(x + 0j).real, (3, 4, 8), 3 * 2.5 * 32 * 5),
        # as a convolution of 3x3: 36 pixels of 4 channels, each of 2 * 9 products
        (
            lambda x: deform_conv2d(x, x.new_zeros(1, 18, 6, 6), x.new_zeros(4, 2, 3, 3)),
            (2, 8, 8),
            36 * 4 * 2 * 9,
        ),
    ],
)
def test_rules_of_unusual_operations(fn: Callable[[Tensor], Tensor], shape: tuple[int, ...], macs: float) -> None:
    counted = count(Run(fn), shape)
    assert (counted.uncounted, counted.macs) == ([], macs)


def test_random_numbers_are_free() -> None:
    """And views, also of complex numbers."""
    fn = lambda x: torch.view_as_real(torch.complex(torch.rand_like(x), torch.randn_like(x))).sum(-1) + torch.rand(4)  # noqa: E731
    counted = count(Run(fn), (4, 4))
    assert (counted.uncounted, counted.macs) == ([], 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_types(dtype: torch.dtype) -> None:
    """The figures are those of float32, but for the bytes of the file."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5)).to(dtype)
    assert count(network, (2, 4, 4)).macs == 9 * 2 * 3 * 4 + 60
    assert count(network, (2, 4, 4)).memory_access_bytes == count(network.float(), (2, 4, 4)).memory_access_bytes


ACTIVATIONS = "ReLU ReLU6 LeakyReLU PReLU RReLU ELU SELU CELU GELU SiLU Mish Sigmoid LogSigmoid Tanh Softplus Softsign"
FREE = [
    *(
        getattr(nn, name)()
        for name in f"{ACTIVATIONS} Hardswish Hardsigmoid Hardtanh Identity Dropout Softmax2d".split()
    ),
    *(nn.Softmax(1), nn.LogSoftmax(1), nn.GLU(1), nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)),
    *(nn.LayerNorm(6), nn.RMSNorm(6), nn.LocalResponseNorm(2), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.LPPool2d(2, 2)),
    *(nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d(1), nn.ZeroPad2d(1), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1)),
    *(nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.PixelShuffle(2), nn.Flatten()),
    *(nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.Unfold(2)),
]


@pytest.mark.parametrize("module", FREE, ids=lambda module: type(module).__name__)
def test_free_by_convention(module: nn.Module) -> None:
    """Norms, activations, pooling and reshaping: zero, and not among the uncounted."""
    counted = count(module, (4, 6, 6))
    assert (counted.macs, counted.uncounted) == (0, [])


def test_a_shared_parameter_counts_once() -> None:
    """One weight in two layers, one layer in two places: 12 parameters, three times 12 multiply-accumulates."""
    first, second = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False)
    second.weight = first.weight
    network = nn.Sequential(first, Run(lambda x: x[..., :3]), second, Run(lambda x: x[..., :3]), first)
    counted = count(network, (3,))
    assert (counted.params, counted.macs) == (12, 36)


def test_costs_are_kept_by_module() -> None:
    """Under the path of the module that caused them; what runs between modules belongs to the one around."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) @ x.new_empty(4, 5)

    leaves = count(Network(), (3,)).leaves
    assert {path: (leaf.macs, leaf.params) for path, leaf in leaves.items()} == {"inner.0": (12, 16), "": (20, 0)}


def test_the_module_stays_as_it_is() -> None:
    """Weights, statistics, mode of each part and hooks."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network[1].eval()
    before = copy.deepcopy(network.state_dict())
    count(network, (3, 6, 6))
    assert [part.training for part in network.modules()] == [True, True, False, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not [part for part in network.modules() if part._forward_hooks or part._forward_pre_hooks]


def test_a_network_that_fails_stays_as_it_is() -> None:
    """Its own error comes through, and neither hooks nor the other mode are left behind."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 4))
    with pytest.raises(RuntimeError):
        count(network, (3,))
    assert network.training
    assert not [part for part in network.modules() if part._forward_hooks or part._forward_pre_hooks]


def test_a_network_on_the_meta_device_is_counted() -> None:
    """As large as it likes: 10^10 parameters."""
    with torch.device("meta"):
        network = nn.Linear(100_000, 100_000, bias=False)
    counted = count(network, (100_000,))
    assert (counted.params, counted.macs) == (10**10, 10**10)


def test_a_supernet_is_counted_as_its_active_arch() -> None:
    """Elastic slices, chosen operations, existing blocks and kept inputs only, as the built network."""
    space = ElasticSpace()
    supernet = space.supernet()
    for arch in space.sample(5, np.random.default_rng(0)):
        selection_of(supernet).activate(arch)
        searched, fixed = count(supernet, space.input_shape), count(space.build(arch), space.input_shape)
        assert (searched.macs, searched.params) == (fixed.macs, fixed.params)
