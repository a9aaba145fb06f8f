"""The size space of NATS-Bench (Dong et al., TPAMI 2021, arXiv:2009.00437): one cell, five widths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError
from archwright.nn.choice import Chooser
from archwright.nn.ops.cell import EdgeCell
from archwright.nn.ops.edges import relu_conv_bn, skip
from archwright.nn.ops.residual import DownsamplingBlock
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image
from archwright.spaces.base import Space
from archwright.spaces.nasbench201.cells import EDGES, N_NODES, parse_cell
from archwright.spaces.nasbench201.skeleton import MIN_SIDE, head, stem

WIDTHS = tuple(range(8, 65, 8))
N_WIDTHS = 5
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
"""The cell of every member, as stated in the released training script (scripts/NATS-Bench, AutoDL-Projects)."""


@listed(
    "space",
    "nasbench201-size",
    summary="NATS-Bench size: NAS-Bench-201's skeleton with one fixed cell and five widths of 8 to 64; 32,768 members",
    source="Dong et al., TPAMI 2021, arXiv:2009.00437",
)
class NasBench201Size(Space):
    """Five widths of eight values each: of stem and first cell, residual block, cell, residual block, last cell.

    Every stage has one cell, always `CELL`; its skip becomes a 1x1 convolution with batch norm if the cell changes the
    width. A code is the benchmark's text `c1:c2:c3:c4:c5` or its index, which counts in lexicographic order.

    Args:
        input_shape: (channels, height, width); at least 8 pixels a side.
        n_classes: Number of classes.
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(self, *, input_shape: Sequence[int] | None = None, n_classes: int | None = None) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("nasbench201-size", self.input_shape, MIN_SIDE)

    def input_forms(self) -> list[str]:
        return [f"{MIN_SIDE} pixels a side and more: halved twice, sides rounded up"]

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"width{i}", WIDTHS, "number") for i in range(N_WIDTHS)])

    def network(self, choose: Chooser) -> nn.Module:
        widths = [choose.number(f"width{i}", WIDTHS) for i in range(N_WIDTHS)]
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem(self.input_shape[0], widths[0]))
        before = widths[0]
        for i, width in enumerate(widths):
            if i % 2:
                stages[f"down{i}"] = DownsamplingBlock(before, width)
            else:
                stages[f"cell{i}"] = EdgeCell(N_NODES, partial(_edge, before, width))
            before = width
        stages["head"] = head(before, self.n_classes)
        return nn.Sequential(stages)

    # ── names of members ──────────────────────────────────────────────────────────────────────────

    def code(self, arch: Mapping[str, Value]) -> str:
        """The benchmark's text, like "8:8:40:32:40"."""
        self.row(arch)
        return ":".join(str(arch[f"width{i}"]) for i in range(N_WIDTHS))

    def parse(self, code: str) -> Arch:
        """The arch of the benchmark's text or index.

        Raises:
            InvalidArchError: If it is neither.
        """
        parts = code.strip().split(":")
        if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            parts = []
        numbers = [int(part) for part in parts]
        if len(numbers) == N_WIDTHS:
            arch = Arch({f"width{i}": width for i, width in enumerate(numbers)})
            self.row(arch)
            return arch
        if len(numbers) == 1 and numbers[0] < len(WIDTHS) ** N_WIDTHS:
            powers = [len(WIDTHS) ** i for i in reversed(range(N_WIDTHS))]
            return Arch({f"width{i}": WIDTHS[numbers[0] // p % len(WIDTHS)] for i, p in enumerate(powers)})
        raise InvalidArchError(
            f"code {code!r} is no member of the size space; give five widths like 8:16:24:32:64, "
            f"or an index, 0 to {len(WIDTHS) ** N_WIDTHS - 1}"
        )

    def index(self, arch: Mapping[str, Value]) -> int:
        """The arch's index in the benchmark's list: the widths' positions as digits in base 8."""
        index = 0
        for digit in self.row(arch).tolist():
            index = len(WIDTHS) * index + digit
        return index


_OPS = dict(zip(EDGES, parse_cell(CELL), strict=True))


def _edge(n_in: Size, n_out: Size, source: int, target: int) -> nn.Module:
    """Edges from the cell's input change the width."""
    before = n_out if source else n_in
    return skip(before, n_out) if _OPS[source, target] == "skip_connect" else relu_conv_bn(before, n_out, 3)
