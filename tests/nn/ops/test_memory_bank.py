"""Blocks written as reads from and writes to memory banks, against direct implementations."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from archwright.nn.elastic import Conv2d
from archwright.nn.ops.memory_bank import BankOp, FillBanks, Paths, bank_op

WIDTH = 4


def conv(n_in: int, n_out: int = WIDTH) -> nn.Sequential:
    """ReLU and a 3x3 convolution."""
    return nn.Sequential(nn.ReLU(), Conv2d(n_in, n_out, 3))


def memory_block(n_banks: int, ops: Sequence[BankOp], bank: int = WIDTH) -> nn.Sequential:
    return nn.Sequential(FillBanks(n_banks * bank), *ops)


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, WIDTH, 6, 6)


def is_equal(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-6)


def test_resnet_block(x: Tensor) -> None:
    """One bank, read and written by every operation: x + f(x), twice."""
    bodies = [nn.Sequential(conv(WIDTH), conv(WIDTH)) for _ in range(2)]
    block = memory_block(1, [bank_op([0], [0], body, bank=WIDTH) for body in bodies])
    expected = x
    for body in bodies:
        expected = expected + body(expected)
    assert is_equal(block(x), expected)


def test_densenet_block(x: Tensor) -> None:
    """Each operation reads all banks that were written to, and writes to the next: a growing concatenation."""
    bodies = [conv(WIDTH * (i + 1)) for i in range(3)]
    ops = [bank_op(range(i + 1), [i + 1], body, bank=WIDTH) for i, body in enumerate(bodies)]
    expected = x
    for body in bodies:
        expected = torch.cat([expected, body(expected)], 1)
    assert is_equal(memory_block(4, ops)(x), expected)


def test_fractalnet_block(x: Tensor) -> None:
    """f3(x) = f2(f2(x)) joined with conv(x), f2 alike, joined by sums: 7 convolutions on 4 banks."""
    convs = [conv(WIDTH) for _ in range(7)]
    deep1, deep2, mid1, deep3, deep4, mid2, wide = convs
    ops = [
        # the first f2: bank 1 is between its deep convolutions, bank 2 its result
        bank_op([0], [1], deep1, bank=WIDTH),
        bank_op([1], [2], deep2, bank=WIDTH),
        bank_op([0], [2], mid1, bank=WIDTH),
        # the second one reads that result; the widest column comes from the input
        bank_op([2], [3], deep3, bank=WIDTH),
        bank_op([3], [4], deep4, bank=WIDTH),
        bank_op([2], [4], mid2, bank=WIDTH),
        bank_op([0], [4], wide, bank=WIDTH),
    ]
    half = deep2(deep1(x)) + mid1(x)
    expected = deep4(deep3(half)) + mid2(half) + wide(x)
    assert is_equal(memory_block(5, ops)(x)[:, -WIDTH:], expected)


def test_more_banks_than_slices_use_them_again(x: Tensor) -> None:
    """Two slices to four banks: the first, the second, the first, the second."""
    body = conv(WIDTH, 2 * WIDTH)
    out = memory_block(5, [bank_op([0], [1, 2, 3, 4], body, bank=WIDTH)])(x)
    first, second = body(x).split(WIDTH, 1)
    assert is_equal(out, torch.cat([x, first, second, first, second], 1))


def test_more_slices_than_banks_are_all_added(x: Tensor) -> None:
    """Three slices to two banks: the third is added to the first bank."""
    body = conv(WIDTH, 3 * WIDTH)
    out = memory_block(2, [bank_op([0], [0, 1], body, bank=WIDTH)])(x)
    first, second, third = body(x).split(WIDTH, 1)
    assert is_equal(out, torch.cat([x + first + third, second], 1))


def test_empty_banks_hold_zeros(x: Tensor) -> None:
    """Reading one that nothing was written to."""
    out = memory_block(3, [bank_op([1], [2], nn.Identity(), bank=WIDTH)])(x)
    assert torch.equal(out, torch.cat([x, torch.zeros(2, 2 * WIDTH, 6, 6)], 1))


def test_operations_leave_their_input_alone(x: Tensor) -> None:
    """The memory before is still what it was."""
    before = x.clone()
    bank_op([0], [0], nn.Identity(), bank=WIDTH)(x)
    assert torch.equal(x, before)


def test_paths_are_summed(x: Tensor) -> None:
    """Of two, and one alone."""
    one, two = conv(WIDTH), conv(WIDTH)
    assert is_equal(Paths([one, two])(x), one(x) + two(x))
    assert torch.equal(Paths([one])(x), one(x))
