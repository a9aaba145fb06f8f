"""Chains in rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from archwright.core.drawing import Block, Strip
from archwright.reports.drawing.strips import BLOCKS_A_ROW, rows_of, strip_panel


def stage(n: int, side: int) -> list[Block]:
    return [Block("x", resolution=(side, side))] * n


def sizes(blocks: list[Block]) -> list[int]:
    return [len(row) for row in rows_of(blocks, most=8)]


def test_rows_by_hand() -> None:
    """Stages stay together; a long one is spread evenly; what has no size goes with its neighbour."""
    assert sizes(stage(4, 56) + stage(4, 28) + stage(8, 14) + stage(4, 7)) == [8, 8, 4]
    assert sizes(stage(5, 56) + stage(4, 28)) == [5, 4]
    assert sizes(stage(11, 56)) == [6, 5]
    assert sizes([Block("in"), *stage(3, 56), *stage(6, 28), Block("pool"), Block("linear")]) == [4, 8]
    assert sizes([Block("linear")] * 3) == [3]


def test_rows_hold_every_block_in_order(chain: Callable[[int], Strip]) -> None:
    """For every length up to forty."""
    for n in range(1, 41):
        rows = rows_of(chain(n).blocks)
        assert [block for row in rows for block in row] == list(chain(n).blocks)
        assert max(map(len, rows)) <= BLOCKS_A_ROW


def test_equal_blocks_say_how_many_they_are() -> None:
    """One box, with its number."""
    panel = strip_panel(Strip((Block("cell", repeats=5),)))
    assert "× 5" in str(panel.parts)


def test_strides_are_marked(chain: Callable[[int], Strip]) -> None:
    """Four of twenty blocks halve the image."""
    assert str(strip_panel(chain(20)).parts).count("/2</text>") == 4


def test_more_channels_make_a_higher_box(chain: Callable[[int], Strip]) -> None:
    """The tallest of a row decides its height."""
    one = chain(1).blocks[0]
    heights = [strip_panel(Strip((one, replace(one, channels=channels)))).height for channels in (16, 32, 256)]
    assert heights == sorted(set(heights))
