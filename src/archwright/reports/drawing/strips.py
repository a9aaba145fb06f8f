"""A strip as a picture: rows with one box for each block, with image sizes above and strides marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from archwright.core.drawing import Block, Strip
from archwright.reports.drawing.canvas import (
    Panel,
    box_class,
    fitted,
    group,
    number,
    path,
    plain,
    rectangle,
    text_width,
    words,
)

BLOCKS_A_ROW = 10
BOX_WIDTH, ARROW = 92.0, 12.0
PITCH = BOX_WIDTH + ARROW
LABEL_SIZES, DETAIL_SIZE = (12.0, 11.0, 10.0), 10.5
_LINE, _MARGIN = 14.0, 3.0
_LEAST_HEIGHT, _GROWTH = 24.0, 9.0
_BRACKET, _ROW_GAP, _END_HEIGHT = 26.0, 26.0, 26.0


def strip_panel(strip: Strip) -> Panel:
    """The picture of a strip, in as many rows as it needs; a new row begins with a new image size if possible."""
    ends = [Block(strip.input, "input")] if strip.input else []
    rows = rows_of([*ends, *strip.blocks])
    heights = _heights(strip.blocks)
    parts: list[Markup] = []
    top, middles = 0.0, []
    for row in rows:
        bracket = _BRACKET if any(block.resolution for block in row) else 0.0
        tallest = max(heights.get(id(block), _END_HEIGHT) for block in row)
        middles.append(top + bracket + tallest / 2)
        parts += _brackets(row, top)
        if len(middles) > 1:
            parts.append(_turn(len(rows[len(middles) - 2]), middles[-2], top - _ROW_GAP / 2, middles[-1]))
        parts.append(_arrows(len(row), middles[-1]))
        for c, block in enumerate(row):
            parts.append(_box(block, c * PITCH, middles[-1], heights.get(id(block), _END_HEIGHT)))
        top += bracket + tallest + _ROW_GAP
    # arrows to the next row run through a margin on both sides
    side = ARROW if len(rows) > 1 else 0.0
    width = max(map(len, rows)) * PITCH - ARROW + 2 * side
    return Panel(plain(strip.title), width, top - _ROW_GAP, [group(parts, dx=side)])


def rows_of(blocks: Sequence[Block], most: int = BLOCKS_A_ROW) -> list[list[Block]]:
    """Blocks in rows of at most `most`; blocks of one resolution stay in a row if it can hold them, else fill several.

    A block without a resolution stays with the block before, or at the beginning with the next one.
    """
    stages: list[list[Block]] = []
    for _, same in groupby(blocks, key=lambda block: block.resolution):
        stage = list(same)
        if stages and not (stage[0].resolution and any(block.resolution for block in stages[-1])):
            stages[-1] += stage
        else:
            stages.append(stage)
    rows: list[list[Block]] = [[]]
    for stage in stages:
        if len(rows[-1]) + len(stage) <= most:
            rows[-1] += stage
            continue
        share = math.ceil(len(stage) / math.ceil(len(stage) / most))
        rows += [stage[i : i + share] for i in range(0, len(stage), share)]
    return [row for row in rows if row]


def _lines(block: Block) -> list[str]:
    """What stands below the label."""
    repeats = [f"× {block.repeats}"] if block.repeats > 1 else []
    channels = [f"{block.channels} ch"] if block.channels is not None else []
    return [plain(text) for text in (*block.details, *repeats, *channels)]


def _heights(blocks: Sequence[Block]) -> dict[int, float]:
    """Room for the text, and more for more channels: a step each doubling."""
    widths = [block.channels for block in blocks if block.channels]
    least = min(widths, default=1)
    n_lines = max(len(_lines(block)) for block in blocks)

    def height(block: Block) -> float:
        doublings = math.log2(block.channels / least) if block.channels else 0.0
        return _LEAST_HEIGHT + _LINE * n_lines + _GROWTH * min(doublings, 6.0)

    return {id(block): round(height(block), 1) for block in blocks}


def _box(block: Block, x: float, middle: float, height: float) -> Markup:
    css = box_class(block.kind, block.kernel)
    y = middle - height / 2
    is_end = block.kind == "input"
    parts = []
    if block.repeats > 1:
        parts += [rectangle(css, x + shift, y - shift, BOX_WIDTH, height) for shift in (5.0, 2.5)]
    parts.append(rectangle(css, x, y, BOX_WIDTH, height, height / 2 if is_end else 4.0))
    label, lines = plain(block.label), _lines(block)
    room, center = BOX_WIDTH - 2 * _MARGIN, x + BOX_WIDTH / 2
    size = DETAIL_SIZE if is_end else _size_of(label, room)
    shown = fitted(label, room, size, bold=not is_end)
    first = middle - _LINE * len(lines) / 2 + 0.36 * size
    parts.append(words(center, first, shown, size, bold=not is_end))
    for i, text in enumerate(lines, start=1):
        parts.append(words(center, first + _LINE * i, fitted(text, room, DETAIL_SIZE), DETAIL_SIZE))
    if block.stride > 1:
        parts += _stride(block.stride, x, y)
    return group(parts, note=block.note or (label if shown != label else ""))


def _size_of(label: str, room: float) -> float:
    """The largest size in which a label fits, else the smallest."""
    fit = (size for size in LABEL_SIZES if text_width(label, size, bold=True) <= room)
    return next(fit, LABEL_SIZES[-1])


def _stride(stride: int, x: float, y: float) -> list[Markup]:
    """A mark on the upper left corner, like "/2" in papers."""
    text = f"/{stride}"
    width = max(text_width(text, 10.0) + 6, 18.0)
    return [
        rectangle("aw-badge", x - 5, y - 7, width, 14, 7),
        Markup('<text class="aw-reverse" x="{}" y="{}" font-size="10" text-anchor="middle">{}</text>').format(
            number(x - 5 + width / 2), number(y + 3.5), text
        ),
    ]


def _brackets(row: Sequence[Block], top: float) -> list[Markup]:
    """The size of the images above the blocks that have it."""
    parts, start = [], 0
    for resolution, same in groupby(row, key=lambda block: block.resolution):
        n = len(list(same))
        if resolution:
            left, right = start * PITCH, (start + n) * PITCH - ARROW
            text = " × ".join(map(str, resolution))
            parts.append(words((left + right) / 2, top + 9, fitted(text, right - left, 10.5), 10.5, faint=True))
            parts.append(path("aw-line", [f"M{number(left)} {number(top + 17)}v-3h{number(right - left)}v3"]))
        start += n
    return parts


def _arrows(n: int, y: float) -> Markup:
    """Between the boxes of a row of n."""
    starts = [c * PITCH - ARROW for c in range(1, n)]
    lines = [f"M{number(x)} {number(y)}h{number(ARROW - 3)}" for x in starts]
    return path("aw-line", lines) + path("aw-head", [_head(x + ARROW, y) for x in starts])


def _turn(n: int, y: float, between: float, next_y: float) -> Markup:
    """From the end of a row of n, through the gap below it, to the beginning of the next."""
    half = ARROW - 2
    right = n * PITCH - ARROW
    line = (
        f"M{number(right)} {number(y)}h{number(half)}V{number(between)}"
        f"H{number(-half)}V{number(next_y)}h{number(half - 3)}"
    )
    return path("aw-line", [line]) + path("aw-head", [_head(0.0, next_y)])


def _head(x: float, y: float) -> str:
    return f"M{number(x)} {number(y)}l-6-3.5v7z"
