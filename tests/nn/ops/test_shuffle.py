"""Shuffle blocks against the released code's formulation, written out here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.ops.shuffle import ShuffleBlock, conv_bn


def layers_of(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if not list(part.children())]


def split_by_shuffle(x: Tensor) -> tuple[Tensor, Tensor]:
    """Channel shuffle into two groups and split: (B C/2, 2, H W), transposed."""
    b, c, h, w = x.shape
    pairs = x.reshape(b * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
    return pairs[0], pairs[1]


def run(layers: list[nn.Module], x: Tensor) -> Tensor:
    """Every layer by torch's functions, with the layer's tensors."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            side = layer.weight.shape[-1]
            x = F.conv2d(x, layer.weight, None, layer.stride, side // 2, 1, x.shape[1] // layer.weight.shape[1])
        elif isinstance(layer, nn.BatchNorm2d):
            shape = (1, -1, 1, 1)
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            x = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
            x = x * layer.weight.view(shape) + layer.bias.view(shape)
        else:
            x = x.clamp(min=0)
    return x


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_conv_bn_is_convolution_norm_and_relu(depthwise: bool, relu: bool) -> None:
    """Against the three formulas."""
    torch.manual_seed(0)
    unit = conv_bn(4, 4, 3, stride=2, depthwise=depthwise, relu=relu)
    assert [type(layer) for layer in unit] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU][: 2 + relu]
    assert unit[0].weight.shape == (4, 1 if depthwise else 4, 3, 3)
    x = torch.randn(3, 4, 7, 7)
    torch.testing.assert_close(unit(x), run(list(unit), x))


@pytest.mark.parametrize("separable", [1, 3])
@pytest.mark.parametrize(("n_in", "n_out", "stride"), [(8, 8, 1), (8, 20, 2), (8, 20, 1)])
def test_block_equals_the_released_formulation(separable: int, n_in: int, n_out: int, stride: int) -> None:
    """Shuffle and split by reshape and transpose, both halves layer by layer, concatenation."""
    torch.manual_seed(0)
    block = ShuffleBlock(n_in, n_out, stride=stride, kernel=3, separable_convs=separable)
    x = torch.randn(3, n_in, 8, 8)
    if n_in == n_out:
        passed, computed = split_by_shuffle(x)
    else:
        passed, computed = run(layers_of(block.shortcut), x), x
    torch.testing.assert_close(block(x), torch.cat((passed, run(layers_of(block.main), computed)), 1))


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_layers_of_a_shuffle_block(kernel: int) -> None:
    """Point-wise to half the output, depth-wise, point-wise to the output less the input."""
    block = ShuffleBlock(16, 64, stride=2, kernel=kernel)
    convs = [layer for layer in layers_of(block.main) if isinstance(layer, nn.Conv2d)]
    assert [tuple(conv.weight.shape) for conv in convs] == [(32, 16, 1, 1), (32, 1, kernel, kernel), (48, 32, 1, 1)]
    assert [conv.stride[0] for conv in convs] == [1, 2, 1]
    assert [type(layer).__name__ for layer in layers_of(block.main)] == [
        *("Conv2d", "BatchNorm2d", "ReLU"),
        *("Conv2d", "BatchNorm2d"),
        *("Conv2d", "BatchNorm2d", "ReLU"),
    ]
    shortcut = [layer for layer in layers_of(block.shortcut) if isinstance(layer, nn.Conv2d)]
    assert [tuple(conv.weight.shape) for conv in shortcut] == [(16, 1, kernel, kernel), (16, 16, 1, 1)]


def test_layers_of_an_xception_block() -> None:
    """Three pairs of depth-wise 3 x 3 and point-wise; only the first strides; ReLU behind the point-wise ones."""
    block = ShuffleBlock(16, 64, stride=2, kernel=3, separable_convs=3)
    convs = [layer for layer in layers_of(block.main) if isinstance(layer, nn.Conv2d)]
    assert [tuple(conv.weight.shape) for conv in convs] == [
        *((16, 1, 3, 3), (32, 16, 1, 1)),
        *((32, 1, 3, 3), (32, 32, 1, 1)),
        *((32, 1, 3, 3), (48, 32, 1, 1)),
    ]
    assert [conv.stride[0] for conv in convs] == [2, 1, 1, 1, 1, 1]
    assert [type(layer).__name__ for layer in layers_of(block.main)] == [
        *("Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "ReLU"),
    ] * 3


def test_an_unstrided_block_computes_on_half_its_channels() -> None:
    """Half of 64 in, half out, and no shortcut projection."""
    block = ShuffleBlock(64, 64, stride=1, kernel=3)
    convs = [layer for layer in layers_of(block) if isinstance(layer, nn.Conv2d)]
    assert [tuple(conv.weight.shape) for conv in convs] == [(32, 32, 1, 1), (32, 1, 3, 3), (32, 32, 1, 1)]


def test_a_striding_block_of_constant_width_has_two_halves() -> None:
    """The shortcut gives up half its channels, where keeping all would leave none to compute."""
    block = ShuffleBlock(16, 16, stride=2, kernel=3)
    assert block(torch.zeros(2, 16, 8, 8)).shape == (2, 16, 4, 4)
    last = [layer for layer in layers_of(block.main) if isinstance(layer, nn.Conv2d)][-1]
    assert last.weight.shape[0] == 8


def test_without_affine_no_norm_has_parameters() -> None:
    """As the paper's supernet wants it."""
    for separable in (1, 3):
        block = ShuffleBlock(8, 20, stride=2, kernel=3, separable_convs=separable, affine=False)
        assert {type(layer) for layer in layers_of(block) if list(layer.parameters())} == {nn.Conv2d}
