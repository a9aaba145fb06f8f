"""The operations of a SMASH block, as plain data and as text.

A text holds blocks joined by `/`, each of operations joined by `+`. An operation `01>2*4:1000:31x52g2` reads banks 0
and 1, writes to bank 2, is 4 units wide, and has the one convolution of structure 1000: height 3 at dilation 1, width 5
at dilation 2, two groups. Convolutions are joined by commas; `.tanh` after one is its non-linearity, left out for ReLU.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from archwright.core.errors import InvalidArchError

STRUCTURES: dict[str, float] = {"1000": 0.05, "1010": 0.10, "1100": 0.15, "1110": 0.25, "1111": 0.45}
"""For each structure how often SMASH draws it (`var_op`). A structure says with 0 or 1 which of the four convolutions
exist; 0 runs before 1, and 2 before 3."""

KERNELS = (3, 5, 7)
NONLINEARITIES = ("relu", "tanh", "sigmoid")
_EXAMPLE = "01>2*4:1000:31x31g1"
_OP = re.compile(r"([0-9]+)>([0-9]+)\*([0-9]{1,4}):([01]{4}):(.+)", re.ASCII)
_CONV = re.compile(r"([0-9])([0-9])x([0-9])([0-9])g([0-9]{1,4})(?:\.([a-z]+))?", re.ASCII)


def conv_number(kernel: int, dilation: int) -> int:
    """The number by which decisions give kernel and dilation of one side: ten times the kernel plus the dilation.

    >>> conv_number(5, 2), kernel_of(52), dilation_of(52)
    (52, 5, 2)
    """
    return 10 * kernel + dilation


def kernel_of(number: int) -> int:
    """The kernel's side in a number of `conv_number`."""
    return number // 10


def dilation_of(number: int) -> int:
    """The dilation in a number of `conv_number`."""
    return number % 10


def largest_dilation(kernel: int) -> int:
    """The largest dilation for a kernel's side: 3, 2 and 1 for 3, 5 and 7, so that it covers at most 9 pixels.

    >>> [largest_dilation(kernel) for kernel in KERNELS]
    [3, 2, 1]
    """
    return 4 - (kernel - 1) // 2


@dataclass(frozen=True)
class Conv:
    """One convolution of an operation.

    Attributes:
        kernel: Height and width.
        dilation: Dilation in height and in width.
        groups: Groups of channels.
        nonlinearity: The activation before it: relu, tanh or sigmoid.
    """

    kernel: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    nonlinearity: str = "relu"


@dataclass(frozen=True)
class Op:
    """One operation of a block.

    Attributes:
        read: Numbers of the banks it reads, ascending.
        write: Numbers of the banks it adds to, ascending.
        width: Output channels as a multiple of N; the paper's g.
        structure: A key of `STRUCTURES`.
        convs: Its convolutions, in the order of their places in the structure.
    """

    read: tuple[int, ...]
    write: tuple[int, ...]
    width: int
    structure: str
    convs: tuple[Conv, ...]

    @property
    def slots(self) -> list[int]:
        """Positions of the convolutions in the structure, 0 to 3."""
        return slots_of(self.structure)


def slots_of(structure: str) -> list[int]:
    """Positions of a structure's convolutions, 0 to 3.

    >>> slots_of("1110")
    [0, 1, 2]
    """
    return [i for i, digit in enumerate(structure) if digit == "1"]


def blocks_text(blocks: Sequence[Sequence[Op]]) -> str:
    """The text of blocks."""
    return "/".join("+".join(map(_op_text, block)) for block in blocks)


def _op_text(op: Op) -> str:
    read, write = ("".join(map(str, banks)) for banks in (op.read, op.write))
    return f"{read}>{write}*{op.width}:{op.structure}:{','.join(map(_conv_text, op.convs))}"


def _conv_text(conv: Conv) -> str:
    sides = "x".join(f"{k}{d}" for k, d in zip(conv.kernel, conv.dilation, strict=True))
    return f"{sides}g{conv.groups}" + ("" if conv.nonlinearity == "relu" else f".{conv.nonlinearity}")


def parse_blocks(text: str, n_blocks: int) -> list[list[Op]]:
    """The blocks in a text; whether a space accepts their numbers is not checked here.

    Raises:
        InvalidArchError: If it is in another notation; the message has the block and the operation.
    """
    parts = text.strip().split("/")
    if len(parts) != n_blocks:
        raise InvalidArchError(
            f"code {text!r} has {len(parts)} blocks; give {n_blocks}, joined by '/', of operations like {_EXAMPLE}"
        )
    return [[_op(f"block{b}.op{i}", op) for i, op in enumerate(part.split("+"))] for b, part in enumerate(parts, 1)]


def _op(place: str, text: str) -> Op:
    match = _OP.fullmatch(text)
    if match is None:
        raise InvalidArchError(
            f"{place}: {text!r} is no operation; write READ>WRITE*WIDTH:STRUCTURE:CONVOLUTIONS, like {_EXAMPLE}"
        )
    read, write, width, structure, convs = match.groups()
    if structure not in STRUCTURES:
        raise InvalidArchError(f"{place}: unknown structure {structure!r}; choose one of {', '.join(STRUCTURES)}")
    found = tuple(_conv(place, conv) for conv in convs.split(","))
    n_convs = structure.count("1")
    if len(found) != n_convs:
        raise InvalidArchError(
            f"{place}: structure {structure} has {n_convs} convolutions, not {len(found)}; join them by ','"
        )
    return Op(_banks(place, "reads", read), _banks(place, "writes to", write), int(width), structure, found)


def _banks(place: str, does: str, digits: str) -> tuple[int, ...]:
    if len(set(digits)) < len(digits):
        raise InvalidArchError(f"{place}: it {does} the banks {digits!r}; give each once")
    return tuple(sorted(map(int, digits)))


def _conv(place: str, text: str) -> Conv:
    match = _CONV.fullmatch(text)
    if match is None:
        raise InvalidArchError(
            f"{place}: {text!r} is no convolution; write kernel and dilation of height and width, and groups: 31x52g2"
        )
    height, down, width, across, groups = map(int, match.groups()[:5])
    return Conv((height, width), (down, across), groups, match[6] or "relu")
