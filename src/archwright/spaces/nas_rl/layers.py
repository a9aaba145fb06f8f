"""Networks of NAS with RL as plain data: layers that each read earlier ones, and their text.

A layer is written as filter height x filter width - filters, then its stride where strides are searched, then one bit
for each earlier layer, that of the first layer first. Layers are joined by `/`. Two layers with strides:

    7x5-48s2x1/3x3-36s1x1:1
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from archwright.core.errors import InvalidArchError
from archwright.core.text import beginning

SIDES = (1, 3, 5, 7)
"""Filter heights and widths."""

STRIDES = (1, 2, 3)

_LAYER = re.compile(r"([0-9]{1,9})x([0-9]{1,9})-([0-9]{1,9})(?:s([0-9]{1,9})x([0-9]{1,9}))?(?::([01]*))?", re.ASCII)


@dataclass(frozen=True)
class Layer:
    """One convolution.

    Attributes:
        height: Height of its filters.
        width: Width of its filters.
        filters: Number of filters.
        reads: Numbers of the earlier layers that it reads, counted from 1; empty if it reads the image.
        stride: Steps down and to the right, in pixels.
    """

    height: int
    width: int
    filters: int
    reads: tuple[int, ...] = ()
    stride: tuple[int, int] = (1, 1)


def layers_text(layers: Sequence[Layer], *, strides: bool) -> str:
    """The text of a network, in the notation of this module.

    >>> layers_text([Layer(7, 5, 48), Layer(3, 3, 36, (1,))], strides=False)
    '7x5-48/3x3-36:1'
    """
    return "/".join(_text(layer, number, strides) for number, layer in enumerate(layers, 1))


def _text(layer: Layer, number: int, strides: bool) -> str:
    stride = f"s{layer.stride[0]}x{layer.stride[1]}" if strides else ""
    bits = "".join(str(int(j in layer.reads)) for j in range(1, number))
    return f"{layer.height}x{layer.width}-{layer.filters}{stride}" + (f":{bits}" if bits else "")


def parse_layers(text: str, n_layers: int, filters: Sequence[int], *, strides: bool) -> list[Layer]:
    """The layers of a text.

    Args:
        text: A network in the notation of this module.
        n_layers: How many layers there must be.
        filters: Accepted numbers of filters.
        strides: Whether layers have a stride.

    Raises:
        InvalidArchError: If it is no such network; the message has the layer.
    """
    parts = text.strip().split("/")
    if len(parts) != n_layers:
        raise InvalidArchError(f"the network has {len(parts)} layers parted by '/'; give {n_layers}")
    return [_parsed(f"layer {number}", number, part, filters, strides) for number, part in enumerate(parts, 1)]


def _parsed(where: str, number: int, text: str, filters: Sequence[int], strides: bool) -> Layer:
    found = _LAYER.fullmatch(text.strip())
    if found is None:
        like = "7x5-48s2x1" if strides else "7x5-48"
        raise InvalidArchError(
            f"{where} is {beginning(text)!r}; write filter height x width - filters, like {like}, "
            "and behind ':' a bit for each earlier layer"
        )
    height, width, n_filters, down, right, bits = found.groups()
    if (down is not None) != strides:
        says = "has no stride; write it like 7x5-48s2x1" if strides else "has a stride; this space has none"
        raise InvalidArchError(f"{where} {says}")
    reads = _reads(where, number, bits or "")
    sides = [_among(where, f"filter {what}", side, SIDES) for what, side in (("height", height), ("width", width))]
    steps = [
        _among(where, f"stride {what}", step or "1", STRIDES) for what, step in (("height", down), ("width", right))
    ]
    return Layer(
        sides[0], sides[1], _among(where, "number of filters", n_filters, filters), reads, (steps[0], steps[1])
    )


def _reads(where: str, number: int, bits: str) -> tuple[int, ...]:
    if len(bits) != number - 1:
        raise InvalidArchError(
            f"{where} has {len(bits)} bits behind ':'; give {number - 1}, one for each earlier layer, the first first"
        )
    return tuple(j for j, bit in enumerate(bits, 1) if bit == "1")


def _among(where: str, what: str, text: str, accepted: Sequence[int]) -> int:
    if int(text) not in accepted:
        raise InvalidArchError(f"{where} has the {what} {int(text)}; choose one of {', '.join(map(str, accepted))}")
    return int(text)
