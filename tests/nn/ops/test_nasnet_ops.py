"""NASNet's operations: shapes, parameters, and TensorFlow's padding by a slower method."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.ops.nasnet import (
    Add,
    ConcatProject,
    FactorizedReduction,
    HalvingPad2d,
    HalvingPool2d,
    bottleneck,
    conv,
    factorized,
    identity,
    pool,
    separable,
)
from archwright.spaces.nasnet.operations import NASNET_OPS, RELEASED_OPS


def n_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def windows(size: int, side: int, stride: int) -> list[range]:
    """Pixels under each window of TensorFlow's SAME padding, by its definition."""
    n = -(-size // stride)
    before = max((n - 1) * stride + side - size, 0) // 2
    starts = [i * stride - before for i in range(n)]
    return [range(max(start, 0), min(start + side, size)) for start in starts]


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("side", [2, 3, 5, 7])
@pytest.mark.parametrize("shape", [(7, 8), (4, 5), (1, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_pooling_is_that_of_tensorflow(kind: str, side: int, shape: tuple[int, int], stride: int) -> None:
    """Window by window; what lies outside of the image does not count."""
    if kind == "avg" and side == 2:
        pytest.skip("no space averages over even squares")
    x = torch.randn(2, 3, *shape)
    rows, columns = (windows(size, side, stride) for size in shape)
    take = torch.amax if kind == "max" else torch.mean
    expected = torch.stack(
        [torch.stack([take(x[:, :, list(r)][..., list(c)], dim=(2, 3)) for c in columns], -1) for r in rows], 2
    )
    assert torch.allclose(pool(kind, side, 3, 3, stride)(x), expected, atol=1e-6)


@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("size", [6, 7])
def test_halving_convolution_begins_where_tensorflow_s_does(side: int, size: int) -> None:
    """A depth-wise convolution with ones is the sum over each window."""
    x = torch.randn(1, 1, size, size)
    ones = torch.ones(1, 1, side, side)
    found = F.conv2d(HalvingPad2d(side)(x), ones, stride=2)
    places = windows(size, side, 2)
    expected = torch.stack([torch.stack([x[0, 0, list(r)][:, list(c)].sum() for c in places]) for r in places])
    assert torch.allclose(found[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", sorted({*NASNET_OPS, *RELEASED_OPS}))
@pytest.mark.parametrize(("n_in", "n_out", "stride"), [(4, 4, 1), (4, 4, 2), (6, 4, 1), (6, 4, 2)])
def test_shapes_of_operations(name: str, n_in: int, n_out: int, stride: int) -> None:
    """Width and image change as asked, sides rounded up."""
    for table in (NASNET_OPS, RELEASED_OPS):
        if name in table:
            out = table[name](n_in, n_out, stride)(torch.randn(2, n_in, 7, 8))
            assert out.shape == (2, n_out, -(-7 // stride), 8 // stride)


def test_parameters_of_operations() -> None:
    """Closed forms of the sheets."""
    assert n_params(separable(5, 8, 8, 1)) == 2 * (25 * 8 + 8 * 8 + 2 * 8)
    assert n_params(separable(3, 6, 8, 2)) == 9 * 6 + 6 * 8 + 16 + 9 * 8 + 8 * 8 + 16
    assert n_params(factorized(7, 6, 8, 1)) == 7 * 6 * 8 + 7 * 8 * 8 + 4 * 8
    assert n_params(conv(3, 6, 8, 2, dilation=2)) == 9 * 6 * 8 + 16
    assert n_params(pool("max", 3, 8, 8, 2)) == n_params(identity(8, 8, 1)) == 0
    assert n_params(pool("max", 3, 6, 8, 2)) == n_params(identity(6, 8, 1)) == 6 * 8 + 16
    assert n_params(identity(8, 8, 2)) == 8 * 8 + 16
    assert n_params(ConcatProject(4)) == 8 * 4 + 8


def test_bottleneck_has_a_quarter_of_the_width() -> None:
    """1x1 to F/4 and back; nothing of it below four channels."""
    middle = 2
    inner = 7 * middle**2 * 2 + 4 * middle
    assert n_params(bottleneck(lambda *sizes: factorized(7, *sizes), 6, 8, 2)) == 6 * 2 + 4 + inner + 2 * 8 + 16
    assert n_params(bottleneck(lambda *sizes: conv(3, *sizes), 3, 3, 1)) == 9 * 9 + 6


def test_factorized_reduction() -> None:
    """C x 7 x 7 gives F x 4 x 4 with C F + 2 F parameters, of odd F too; even and odd pixels, zeros beyond the last."""
    for width in (6, 5):
        reduction = FactorizedReduction(3, width).eval()
        x = torch.randn(2, 3, 7, 7)
        out: Tensor = reduction(x)
        assert out.shape == (2, width, 4, 4)
        assert n_params(reduction) == 3 * width + 2 * width
        n_even = width // 2
        even = torch.einsum("oi,nihw->nohw", reduction.even.weight[:, :, 0, 0], x[:, :, ::2, ::2])
        odd = torch.einsum("oi,nihw->nohw", reduction.odd.weight[:, :, 0, 0], F.pad(x[:, :, 1::2, 1::2], (0, 1, 0, 1)))
        scale = (1 + 1e-5) ** -0.5
        assert torch.allclose(out[:, :n_even], scale * even, atol=1e-6)
        assert torch.allclose(out[:, n_even:], scale * odd, atol=1e-6)


def test_combinations() -> None:
    """A sum, and both inputs brought back to one width."""
    x, y = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    assert torch.equal(Add()(x, y), x + y)
    joined = ConcatProject(4).eval()
    assert torch.allclose(joined(x, y), joined.project(torch.cat([x, y], dim=1)))


def test_texts_of_modules_name_their_sizes() -> None:
    """What `print(network)` shows."""
    assert (str(HalvingPad2d(5)), str(HalvingPool2d("avg", 3))) == ("HalvingPad2d(5)", "HalvingPool2d(avg, 3)")
