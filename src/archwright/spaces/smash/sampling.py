"""How SMASH draws a block (Brock et al., ICLR 2018; `sample_architecture` of the released code).

Blocks are not equally likely: an operation is about as wide as its input, writes to few banks, and mostly has two paths
of two convolutions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import InvalidValueError
from archwright.spaces.smash.grammar import STRUCTURES, Conv, Op, largest_dilation, slots_of


@dataclass(frozen=True)
class BlockSizes:
    """How large a block may become.

    Attributes:
        n_in: Input channels.
        n_most: Most channels of all its banks together.
        budget: Most channels that all its operations together may read.
    """

    n_in: int
    n_most: int
    budget: int


def block_sizes(depth: int, width: int, base: int) -> tuple[BlockSizes, BlockSizes, BlockSizes]:
    """Sizes of the three blocks, derived from those of a wide ResNet.

    Args:
        depth: Convolutions in a block of that ResNet.
        width: Its widening factor.
        base: Channels N of the smallest bank.

    >>> block_sizes(12, 4, 8)[2]
    BlockSizes(n_in=112, n_most=256, budget=3184)
    """
    wide, unit = 2 * base * width, 2 * base
    first = wide
    second = (first + 2 * wide) // 2 // unit * unit
    third = (second + 2 * wide) // 2 // unit * unit
    return (
        BlockSizes(first, first + 2 * wide, first + depth * wide),
        BlockSizes(second, second + 2 * wide, second + depth * 2 * wide),
        BlockSizes(third, 4 * wide, third + depth * 4 * wide),
    )


@dataclass(frozen=True)
class OpRules:
    """The choices of an operation.

    Attributes:
        bank: Channels of a bank as a multiple of N.
        base: The unit of channels, N.
        largest_width: Largest width as a multiple of N; the paper's k.
        kernels: Sides of kernels.
        max_dilation: Largest dilation of a side; the kernel may allow only a smaller one.
        groups: Numbers of groups.
        structures: Keys of `STRUCTURES`.
        nonlinearities: Activations before a convolution.
        compression: How many multiples of N one slice of the hypernetwork's input stands for; reads are counted in
            slices.
    """

    bank: int
    base: int = 8
    largest_width: int = 8
    kernels: tuple[int, ...] = (3, 5, 7)
    max_dilation: int = 3
    groups: tuple[int, ...] = (1, 2, 4, 8)
    structures: tuple[str, ...] = tuple(STRUCTURES)
    nonlinearities: tuple[str, ...] = ("relu",)
    compression: int = 2

    @property
    def widths(self) -> tuple[int, ...]:
        """Possible widths: multiples of the bank."""
        return tuple(range(self.bank, self.largest_width + 1, self.bank))


def n_banks(sizes: BlockSizes, rules: OpRules, fraction: float, depth: int) -> int:
    """Number of banks of a block: as many as its share of the budget allows, at most as many as fit its channels.

    Args:
        sizes: How large the block may become.
        rules: The choices of its operations.
        fraction: Share of the budget, in (0, 1].
        depth: Convolutions in a block of the wide ResNet.
    """
    bank = rules.bank * rules.base
    paid = math.ceil(fraction * depth * rules.largest_width) // rules.bank
    return min(sizes.n_in // bank + paid, sizes.n_most // bank)


def draw_block(
    rng: np.random.Generator,
    sizes: BlockSizes,
    rules: OpRules,
    *,
    fraction: float,
    banks: int,
    max_ops: int | None = None,
) -> list[Op]:
    """Draw the operations of a block, until the budget is used up or there are `max_ops`.

    Args:
        rng: Draws everything.
        sizes: How large the block may become.
        rules: The choices of its operations.
        fraction: Share of the budget that may be read, in (0, 1].
        banks: Number of banks.
        max_ops: Most operations; None sets no limit.

    Raises:
        InvalidValueError: If the input fills no bank, or the budget allows no operation.
    """
    n_written = min(sizes.n_in // (rules.bank * rules.base), banks)
    # reads are paid in whole slices of the hypernetwork's input
    step = rules.compression if rules.bank % rules.compression else 1
    price = rules.bank * step // rules.compression
    left = int(fraction * sizes.budget // (rules.base * rules.compression))
    if n_written < step or left < price:
        raise InvalidValueError(
            f"a block of {sizes} has no operation on banks of {rules.bank} x {rules.base} channels; give smaller banks"
        )
    found: list[Op] = []
    while left >= price and (max_ops is None or len(found) < max_ops):
        sizes_of_reads = range(step, n_written + 1, step)
        n_read = min(int(rng.choice(sizes_of_reads)), left // price * step)
        read = rng.choice(n_written, n_read, replace=False)
        width = _width(rng, rules, n_read)
        write, n_written = _write(rng, width // rules.bank, n_written, banks)
        left -= n_read // step * price
        found.append(_op(rng, rules, _sorted(read), write, width))
    return found


def _width(rng: np.random.Generator, rules: OpRules, n_read: int) -> int:
    """Mostly the width of what is read."""
    odds = np.array([1 / (0.01 + 10 * abs(width - n_read * rules.bank)) for width in rules.widths])
    return int(rng.choice(rules.widths, p=odds / odds.sum()))


def _write(rng: np.random.Generator, n_slices: int, n_written: int, banks: int) -> tuple[tuple[int, ...], int]:
    """The banks to write to, mostly few, empty ones in order; and how many banks are then written to."""
    n_empty = min(n_slices, banks - n_written)
    most = max(n_slices, n_written // 2)
    odds = np.exp(-np.arange(most - n_slices + 1.0))
    n_targets = min(int(rng.choice(range(n_slices, most + 1), p=odds / odds.sum())), n_written + n_empty)
    chosen = rng.choice(n_written + n_empty, n_targets, replace=False)
    old = [bank for bank in _sorted(chosen) if bank < n_written]
    n_new = n_targets - len(old)
    return (*old, *range(n_written, n_written + n_new)), n_written + n_new


def _op(rng: np.random.Generator, rules: OpRules, read: tuple[int, ...], write: tuple[int, ...], width: int) -> Op:
    odds = np.array([STRUCTURES[structure] for structure in rules.structures])
    structure = str(rng.choice(rules.structures, p=odds / odds.sum()))
    convs = tuple(_conv(rng, rules) for _ in slots_of(structure))
    return Op(read, write, width, structure, convs)


def _conv(rng: np.random.Generator, rules: OpRules) -> Conv:
    height, width = (int(rng.choice(rules.kernels)) for _ in range(2))
    down, across = (
        int(rng.integers(1, min(rules.max_dilation, largest_dilation(kernel)) + 1)) for kernel in (height, width)
    )
    groups, nonlinearity = int(rng.choice(rules.groups)), str(rng.choice(rules.nonlinearities))
    return Conv((height, width), (down, across), groups, nonlinearity)


def _sorted(banks: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(sorted(int(bank) for bank in banks))
