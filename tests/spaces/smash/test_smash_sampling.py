"""How SMASH draws blocks, at the sizes of the released code."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.spaces import Smash
from archwright.spaces.smash.grammar import STRUCTURES, Op, largest_dilation
from archwright.spaces.smash.sampling import BlockSizes, OpRules, block_sizes, draw_block, n_banks

N_DRAWN = 300
SIZES = block_sizes(12, 4, 8)


def drawn(block: int, seed: int = 0) -> list[tuple[int, list[Op]]]:
    """Sizes of banks that the released code draws for a block, each with operations."""
    rng, found = np.random.default_rng(seed), []
    for i in range(N_DRAWN):
        bank = (1, 2, 3, 4, 6, 8)[i % 6]
        rules, share = OpRules(bank), rng.uniform(0.3, 1.0)
        banks = n_banks(SIZES[block], rules, share, 12)
        found.append((bank, draw_block(rng, SIZES[block], rules, fraction=share, banks=banks)))
    return found


@pytest.fixture(scope="module")
def blocks() -> list[list[tuple[int, list[Op]]]]:
    """300 draws of each block."""
    return [drawn(block) for block in range(3)]


Drawn = list[list[tuple[int, list[Op]]]]


def test_operations_read_only_what_was_written(blocks: Drawn) -> None:
    """And fill empty banks in order."""
    for sizes, draws in zip(SIZES, blocks, strict=True):
        for bank, ops in draws:
            n_written = sizes.n_in // (8 * bank)
            for op in ops:
                assert max(op.read) < n_written
                new = [target for target in op.write if target >= n_written]
                assert new == list(range(n_written, n_written + len(new)))
                n_written += len(new)
            assert n_written * 8 * bank <= sizes.n_most


def test_reads_stay_within_the_budget(blocks: Drawn) -> None:
    """Channels that all operations of a block read."""
    for sizes, draws in zip(SIZES, blocks, strict=True):
        assert max(sum(len(op.read) for op in ops) * 8 * bank for bank, ops in draws) <= sizes.budget


def test_operations_write_all_they_compute(blocks: Drawn) -> None:
    """A width is a multiple of the bank, and at least as many banks are written to."""
    for draws in blocks:
        for bank, ops in draws:
            assert all(op.width % bank == 0 and op.width // bank <= len(op.write) for op in ops)
            assert all(op.read == tuple(sorted(set(op.read))) for op in ops)


def test_dilation_follows_the_kernel(blocks: Drawn) -> None:
    """Up to 3, 2 and 1 for kernels 3, 5 and 7; all of them occur."""
    convs = [conv for draws in blocks for _, ops in draws for op in ops for conv in op.convs]
    pairs = {pair for conv in convs for pair in zip(conv.kernel, conv.dilation, strict=True)}
    assert pairs == {(kernel, d) for kernel in (3, 5, 7) for d in range(1, largest_dilation(kernel) + 1)}
    assert {conv.groups for conv in convs} == {1, 2, 4, 8}


def test_structures_come_as_often_as_in_the_released_code(blocks: Drawn) -> None:
    """0.05, 0.10, 0.15, 0.25 and 0.45."""
    counts = Counter(op.structure for draws in blocks for _, ops in draws for op in ops)
    for structure, share in STRUCTURES.items():
        assert abs(counts[structure] / counts.total() - share) < 0.01


def test_operations_a_block(blocks: Drawn) -> None:
    """The fact sheet's measurement of the released code at its full budget: 7.5, 11.7, 18.5; here within a tenth."""
    for draws, mean in zip(blocks, (7.5, 11.7, 18.5), strict=True):
        assert np.mean([len(ops) for _, ops in draws]) == pytest.approx(mean, rel=0.1)


def test_banks_that_the_input_cannot_fill_are_refused() -> None:
    """The released code never draws them: an odd size is read in pairs."""
    with pytest.raises(InvalidValueError, match="has no operation on banks of 5 x 8 channels"):
        draw_block(np.random.default_rng(0), SIZES[0], OpRules(5), fraction=1.0, banks=4)
    with pytest.raises(InvalidValueError, match="give smaller banks"):
        draw_block(np.random.default_rng(0), BlockSizes(64, 192, 10), OpRules(4), fraction=1.0, banks=4)


def test_draws_of_a_space_are_members() -> None:
    """By their own rules, with at most as many operations as the space has; the same seed, the same archs."""
    space = Smash(structures=tuple(STRUCTURES))
    archs = space.draw(20, np.random.default_rng(0))
    assert space.decisions.contains(space.decisions.rows(archs)).all()
    assert archs == space.draw(20, np.random.default_rng(0))
    assert all(len(block) <= most for arch in archs for block, most in zip(space.blocks(arch), space.ops, strict=True))


def test_the_largest_share_of_the_budget_counts() -> None:
    """At 0.3 exactly: 249 channels of 832 in block 1, in whole banks of 32."""
    space = Smash(ops=(34, 34, 34))
    archs = space.draw(20, np.random.default_rng(0), largest_share=0.3)
    reads = [sum(len(op.read) for op in space.blocks(arch)[0]) for arch in archs]
    assert set(reads) == {7}
    with pytest.raises(InvalidValueError, match=r"largest_share is 0\.2"):
        space.draw(1, np.random.default_rng(0), largest_share=0.2)
