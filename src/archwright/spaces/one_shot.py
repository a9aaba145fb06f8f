"""The search space of one-shot models with path dropout (Bender et al., ICML 2018).

A stack of equal cells of choice blocks. A block sums 1x1 convolutions of the states it reads, which is one 1x1
convolution of their concatenation, and then sums one or two operations on the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.drawing import Drawing, Edge, Graph, Node, kind_of, readable
from archwright.core.errors import InvalidArchError, InvalidValueError, UnknownNameError
from archwright.nn.choice import Chooser
from archwright.nn.choice.choosers import subsets
from archwright.nn.elastic import Conv2d
from archwright.nn.ops.one_shot import ONE_SHOT_OPS, ChoiceBlock
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.two_inputs import TwoInputCell, TwoInputNetwork
from archwright.spaces.arguments import check_image, whole_number
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, smallest_side, strides_of

N_INPUTS, N_STAGES = 2, 3
LARGE_FROM, N_STEM_STRIDES = 64, 3
"""From this many pixels a side on the stem has strides, and the number of these strides."""

MAX_BLOCKS = 8
"""Most choice blocks of a cell; its states are then 0 to 9, one digit each in a code."""


@listed(
    "space",
    "one-shot",
    summary="one-shot model: 8 equal cells of 4 choice blocks, any inputs and one or two of 7 operations a block",
    source="Bender et al., ICML 2018, PMLR 80:550-559",
)
class OneShot(Space):
    """Cells of 4 choice blocks: 3 x 7 x 15 x 31 x 28^4 = 6,002,115,840 archs.

    Block b reads at least one of 2 + b states: the outputs of the two cells before, and of the earlier blocks of its
    cell. It applies one or two of 7 operations and sums them. A cell's output is the concatenation of its blocks'
    outputs. All cells are equal.

    A supernet that is relaxed without weights has every path at weight 1, which is the paper's one-shot model. Weights
    over the subsets of one state, or of one operation, are single paths: any set of those can be dropped.

    The paper's text was not available. 8 cells, 4 blocks and the operations come from a summary and from memory. Our
    own choices are: the cells form three stages; the first cell of a later stage reads the mean of 2x2 pixels of both
    its inputs, and has twice the width; the stem is one 3x3 convolution.

    A code names each block's inputs and operations: `01:identity+sep_conv_3x3/2:max_pool_3x3/…`.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        cells: How many cells.
        channels: Width of a block in the first stage.
        blocks: Choice blocks of a cell, 1 to 8.
        ops: Operations to choose from; archs name them by their position in this list.
        max_ops: Most operations of a block.
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        cells: int = 8,
        channels: int = 16,
        blocks: int = 4,
        ops: Sequence[str] = tuple(ONE_SHOT_OPS),
        max_ops: int = 2,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("one-shot", self.input_shape, MIN_SIDE)
        self.cells = whole_number("cells", cells, 100)
        self.channels = whole_number("channels", channels, 10_000)
        self.blocks = whole_number("blocks", blocks, MAX_BLOCKS)
        self.ops = _checked_ops(ops)
        self.max_ops = whole_number("max_ops", max_ops, len(self.ops))

    def args(self) -> dict[str, Any]:
        names = ("cells", "channels", "blocks", "max_ops")
        return super().args() | {name: getattr(self, name) for name in names} | {"ops": list(self.ops)}

    def input_forms(self) -> list[str]:
        full = smallest_side(N_STEM_STRIDES + N_STAGES - 1)
        return [
            f"{LARGE_FROM} pixels a side and more: a stem of three strided convolutions, one not strided below {full}",
            f"{MIN_SIDE} to {LARGE_FROM - 1} pixels: a stem of one 3x3 convolution",
            f"in either form the last halvings are left out where the map would be smaller than {MIN_SIDE}x{MIN_SIDE}",
        ]

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found = []
        for b in range(self.blocks):
            found.append(Decision(f"block{b}.inputs", subsets(N_INPUTS + b, self._input_counts(b)), "inputs"))
            found.append(Decision(f"block{b}.ops", subsets(len(self.ops), self._op_counts), "inputs"))
        return DecisionSpace(found)

    def network(self, choose: Chooser) -> nn.Module:
        stem, width_before = self._stem()
        widths, cells = [width_before, width_before], []
        levels = [0, 0, *self._levels()]  # of what a cell reads and of its own images
        for i in range(self.cells):
            width = self._width(i)
            before_last, last, own = levels[i : i + 3]
            cells.append(
                TwoInputCell(
                    _reader(own - before_last),
                    _reader(own - last),
                    [self._block(choose, b, width, widths[i], widths[i + 1]) for b in range(self.blocks)],
                )
            )
            widths.append(self.blocks * width)
        head = nn.Sequential(GlobalAvgPool2d(), nn.Linear(widths[-1], self.n_classes))
        return TwoInputNetwork([stem], cells, head)

    def _block(self, choose: Chooser, b: int, width: int, before_last: int, last: int) -> ChoiceBlock:
        n_in = [before_last, last, *([width] * b)]
        inputs = choose.inputs(
            f"block{b}.inputs", N_INPUTS + b, self._input_counts(b), lambda j: Conv2d(n_in[j], width, 1, bias=False)
        )
        makers = [partial(ONE_SHOT_OPS[name], width) for name in self.ops]
        ops = choose.inputs(f"block{b}.ops", len(self.ops), self._op_counts, lambda j: makers[j]())
        return ChoiceBlock(inputs, ops, width=width, n_ops=len(self.ops))

    @property
    def _op_counts(self) -> range:
        return range(1, self.max_ops + 1)

    @staticmethod
    def _input_counts(b: int) -> range:
        return range(1, N_INPUTS + b + 1)

    def _stage(self, cell: int) -> int:
        return N_STAGES * cell // self.cells

    def _width(self, cell: int) -> int:
        return self.channels * int(2 ** self._stage(cell))

    @property
    def _n_stem(self) -> int:
        return N_STEM_STRIDES if min(self.input_shape[1:]) >= LARGE_FROM else 0

    def _strides(self) -> list[int]:
        """Of the stem's convolutions, and of the stages behind the first."""
        is_large = bool(self._n_stem)
        # what leads a list of strides is the first to go on small images, so the stem's stands there in either form
        strided = [is_large] * (self._n_stem or 1) + [True] * (N_STAGES - 1)
        return strides_of(self.input_shape, strided)

    def _stem(self) -> tuple[nn.Sequential, int]:
        layers: list[nn.Module] = []
        n_in = self.input_shape[0]
        for stride in self._strides()[: self._n_stem or 1]:
            conv = nn.Conv2d(n_in, self.channels, 3, stride, 1, bias=False)
            layers += [conv, nn.BatchNorm2d(self.channels), nn.ReLU(inplace=True)]
            n_in = self.channels
        return nn.Sequential(*layers), self.channels

    def _levels(self) -> list[int]:
        """How often each cell's images were halved behind the stem."""
        strides = self._strides()[self._n_stem or 1 :]
        return [strides[: self._stage(i)].count(2) for i in range(self.cells)]

    # ── names and pictures of members ─────────────────────────────────────────────────────────────

    def code(self, arch: Mapping[str, Value]) -> str:
        """Each block's inputs and operations, see the class."""
        self.row(arch)
        return "/".join(f"{''.join(map(str, inputs))}:{'+'.join(ops)}" for inputs, ops in self._cell(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the block.
        """
        parts = code.strip().split("/")
        if len(parts) != self.blocks:
            raise InvalidArchError(
                f"code {code!r} has {len(parts)} blocks; give {self.blocks}, joined by '/', each like 01:identity"
            )
        values: dict[str, Value] = {}
        for b, part in enumerate(parts):
            inputs, colon, ops = part.partition(":")
            if not colon:
                raise InvalidArchError(f"block {b}: {part!r} has no ':'; write inputs and operations like 01:identity")
            values[f"block{b}.inputs"] = self._parsed_inputs(b, inputs)
            values[f"block{b}.ops"] = self._parsed_ops(b, ops.split("+"))
        self.row(values)
        return Arch(values)

    def _parsed_inputs(self, b: int, digits: str) -> tuple[int, ...]:
        states = "".join(map(str, range(N_INPUTS + b)))
        foreign = [digit for digit in digits if digit not in states]
        if foreign or not digits or len(set(digits)) < len(digits):
            what = f"cannot read state {foreign[0]!r}" if foreign else f"reads the states {digits!r}"
            raise InvalidArchError(f"block {b} {what}; give some of the digits {states}, each once")
        return tuple(sorted(map(int, digits)))

    def _parsed_ops(self, b: int, names: Sequence[str]) -> tuple[int, ...]:
        for name in names:
            if name not in self.ops:
                raise InvalidArchError(f"block {b}: {UnknownNameError('operation', name, self.ops)}")
        if len(names) > self.max_ops or len(set(names)) < len(names):
            raise InvalidArchError(
                f"block {b} has the operations {'+'.join(names)}; give 1 to {self.max_ops}, each once"
            )
        return tuple(sorted(map(self.ops.index, names)))

    def _cell(self, arch: Mapping[str, Value]) -> list[tuple[tuple[int, ...], list[str]]]:
        """States that each block reads, and names of its operations."""
        found = []
        for b in range(self.blocks):
            inputs, ops = arch[f"block{b}.inputs"], arch[f"block{b}.ops"]
            assert isinstance(inputs, tuple)
            assert isinstance(ops, tuple)
            found.append((inputs, [self.ops[i] for i in ops]))
        return found

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The cell, and the network of such cells."""
        code = self.code(arch)
        nodes = [Node("0", "the cell before the last", "input"), Node("1", "the last cell", "input")]
        edges = []
        for b, (inputs, ops) in enumerate(self._cell(arch)):
            state = str(N_INPUTS + b)
            nodes.append(Node(f"{state}.in", "1×1 conv", "conv", f"choice block {b}"))
            edges += [Edge(str(source), f"{state}.in") for source in inputs]
            nodes.append(Node(state, "+" if len(ops) > 1 else state, "state", f"choice block {b}"))
            for op in ops:
                nodes.append(Node(f"{state}.{op}", readable(op), kind_of(op)))
                edges += [Edge(f"{state}.in", f"{state}.{op}"), Edge(f"{state}.{op}", state)]
            edges.append(Edge(state, "out"))
        graph = Graph((*nodes, Node("out", "concat", "output")), tuple(edges), "cell", direction="down")
        strip = self.network_strip(arch, title="network", merge=True)
        return Drawing((graph, strip), f"{self.name} {code}")


def _reader(n_halvings: int) -> nn.Module:
    """How a cell takes an output of an earlier cell; the last row and column of odd sides count by themselves."""
    pools = [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) for _ in range(n_halvings)]
    return nn.Sequential(*pools) if pools else nn.Identity()


def _checked_ops(ops: Sequence[str]) -> tuple[str, ...]:
    if isinstance(ops, str) or not isinstance(ops, Sequence) or not ops:
        raise InvalidValueError(f"ops is {ops!r}; give a list of operations, some of {', '.join(ONE_SHOT_OPS)}")
    for op in ops:
        if op not in ONE_SHOT_OPS:
            raise UnknownNameError("operation", str(op), ONE_SHOT_OPS)
    if len(set(ops)) < len(ops):
        raise InvalidValueError(f"ops is {list(ops)}, with one of them twice; give each once")
    return tuple(ops)
