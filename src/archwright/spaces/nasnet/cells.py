"""One cell of a NASNet: asks the chooser for its parts and builds the module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from archwright.nn.choice import Chooser
from archwright.nn.drop_path import dropped
from archwright.nn.elastic import Concat
from archwright.nn.ops.edges import relu_conv_bn
from archwright.nn.ops.nasnet import Add, Block, Cell, ConcatProject, FactorizedReduction, MakeOp
from archwright.nn.sizes import Size
from archwright.spaces.nasnet.genotype import Outputs

COMBINE: dict[str, Callable[[int], nn.Module]] = {"add": lambda channels: Add(), "concat": ConcatProject}
"""For each combination, a function that makes its module from the width of a state."""

EDGES = ("1", "2")


@dataclass(frozen=True)
class CellRules:
    """The choices of a cell, and which states form its output.

    Attributes:
        kind: "normal" or "reduction"; the names of its decisions begin with it.
        blocks: Number of blocks, B.
        ops: Operations to choose from, by name.
        combines: Ways to join the two results of a block.
        outputs: The states that form the output; None for those that no block reads.
    """

    kind: str
    blocks: int
    ops: Mapping[str, MakeOp]
    combines: tuple[str, ...]
    outputs: Outputs | None


@dataclass(frozen=True)
class CellShape:
    """Widths and images of one cell.

    Attributes:
        channels: Channels F of its states.
        stride: 2 if it halves its inputs, else 1.
        current: Channels of state 0 before it is brought to F.
        previous: Channels of state 1 before it is brought to F.
        is_first: Whether there is no earlier result; state 1 is then made from the same input as state 0.
        halves_previous: Whether the image of state 1 is twice as large as that of state 0.
        drop_path: Probability, at the end of training, that an operation's result is dropped for an example.
    """

    channels: int
    stride: int
    current: Size
    previous: Size
    is_first: bool
    halves_previous: bool
    drop_path: float

    def width_of(self, state: int) -> int:
        """Channels of a state; those of the stem are a plain number."""
        if state != 1 or not self.is_first:
            return self.channels
        assert isinstance(self.previous, int)
        return self.previous

    def with_widths(self, n: int) -> CellShape:
        """The same cell with inputs that are n times as wide."""
        return replace(self, current=n * self.current, previous=n * self.previous)

    def match_current(self) -> nn.Module:
        """The module that makes state 0 from the result before the cell."""
        return relu_conv_bn(self.current, self.channels, 1)

    def match_previous(self, always: bool) -> nn.Module:
        """The module that makes state 1 from the earlier result; `always` forces it to have a convolution."""
        if self.is_first:
            return nn.Identity()
        if self.halves_previous:
            return nn.Sequential(nn.ReLU(), FactorizedReduction(self.previous, self.channels))
        fits = not always and self.previous == self.channels
        return nn.Identity() if fits else relu_conv_bn(self.previous, self.channels, 1)

    def emitted(self, state: int) -> nn.Module:
        """The module that brings state 0 or 1 to the shape of the cell's output."""
        n_in = self.width_of(state)
        if self.stride == 2:
            return FactorizedReduction(n_in, self.channels)
        return nn.Identity() if n_in == self.channels else nn.Sequential(*relu_conv_bn(n_in, self.channels, 1)[1:])


def build_cell(choose: Chooser, rules: CellRules, shape: CellShape) -> tuple[nn.Module, Size]:
    """A cell and the number of its output channels.

    Args:
        choose: The chooser, asked for each input, operation and combination.
        rules: The choices of the cell.
        shape: Its widths and images.
    """
    blocks, sources = nn.ModuleList(), []
    for b in range(rules.blocks):
        name = f"{rules.kind}.block{b}"
        first, second = (
            choose.inputs(f"{name}.input{i}", b + 2, 1, partial(_edge, choose, f"{name}.op{i}", rules, shape))
            for i in EDGES
        )
        sources += [first.kept, second.kept]
        blocks.append(Block(first, second, _combination(choose, f"{name}.combine", rules, shape.channels)))
    sizes = [_output_size(choose, rules, shape.channels, state, sources) for state in range(rules.blocks + 2)]
    given = rules.outputs or ()
    emitted = nn.ModuleList([shape.emitted(state) if state in given else nn.Identity() for state in (0, 1)])
    # where widths are decisions, whether two are equal depends on them: there state 1 is always brought to its width
    previous = shape.match_previous(always=rules.outputs is None)
    return Cell(shape.match_current(), previous, blocks, emitted, Concat(sizes)), sum(sizes)


def _edge(choose: Chooser, name: str, rules: CellRules, shape: CellShape, source: int) -> nn.Module:
    stride = shape.stride if source < 2 else 1  # only what comes into the cell is halved
    n_in = shape.width_of(source)

    def make(op: str) -> nn.Module:
        module = rules.ops[op](n_in, shape.channels, stride)
        return module if op == "identity" else dropped(module, shape.drop_path)

    return choose.op(name, {op: partial(make, op) for op in rules.ops})


def _combination(choose: Chooser, name: str, rules: CellRules, channels: int) -> nn.Module:
    makers = {combine: partial(COMBINE[combine], channels) for combine in rules.combines}
    return choose.op(name, makers) if len(makers) > 1 else makers[rules.combines[0]]()


def _output_size(choose: Chooser, rules: CellRules, channels: int, state: int, sources: list[Any]) -> Size:
    """Channels that a state adds to the cell's result: all, or none."""
    if rules.outputs is not None:
        return channels if state in rules.outputs else 0
    if state < 2:
        return 0
    return size_unless_read(choose, channels, state, sources)


def size_unless_read(choose: Chooser, channels: int, state: int, sources: Sequence[Any]) -> Size:
    """Channels that a state adds to a cell's output: 0 if an edge of the cell reads it.

    Args:
        choose: The chooser.
        channels: Channels of the state.
        state: Number of the state.
        sources: For each edge, the numbers of the states that it reads; each is a decision.
    """
    size: Size = choose.map(partial(_unless_read, state, channels), *sources, largest=channels)
    return size


def _unless_read(state: int, channels: int, *sources: tuple[int, ...]) -> int:
    return 0 if any(state in kept for kept in sources) else channels
