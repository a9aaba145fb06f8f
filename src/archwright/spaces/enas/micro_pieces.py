"""Which parts of an ENAS network of cells depend on which decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from archwright.core.arch import Value
from archwright.nn.ops.edges import relu_conv_bn
from archwright.nn.ops.enas import MICRO_OPS
from archwright.nn.ops.nasnet import FactorizedReduction
from archwright.nn.sizes import Size
from archwright.spaces.enas.stack import Position, Result
from archwright.spaces.nasnet.genotype import unread
from archwright.spaces.pieces import CostPiece, Form


@dataclass(frozen=True)
class MicroPieces:
    """The cost pieces of a network.

    Attributes:
        positions: The positions of the stack, see `stack`.
        results: The results of the stem and of each position.
        blocks: Blocks B of a cell.
        is_search: Whether it is the search network.
        n_classes: Number of classes.
        match_older: Makes the module that brings an earlier output to state 0, from its channels, the cell's channels
            and whether the image is halved.
    """

    positions: tuple[Position, ...]
    results: tuple[Result, ...]
    blocks: int
    is_search: bool
    n_classes: int
    match_older: Callable[[Size, int, bool], nn.Module]

    def all(self) -> Iterator[CostPiece]:
        """All pieces, in the order of the network."""
        for kind in ("normal", "reduction"):
            edges = [f"{kind}.block{b}.{{}}{i}" for b in range(self.blocks) for i in ("1", "2")]
            for edge in edges:
                names = edge.format("input"), edge.format("op")
                yield CostPiece(names, partial(self._edge_keys, kind), self._form)
            inputs = tuple(edge.format("input") for edge in edges)
            yield CostPiece(inputs, partial(self._end_keys, kind), self._form)

    def _edge_keys(self, kind: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        kept, op = values
        assert isinstance(kept, tuple)
        found: list[tuple[Any, ...]] = []
        for i in self._of_kind(kind):
            position, is_input = self.positions[i], kept[0] < 2
            sides = self.results[i if is_input else i + 1].sides
            found.append(("op", op, position.channels, position.stride if is_input else 1, sides))
        return found

    def _end_keys(self, kind: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        ends = unread([kept[0] for kept in values if isinstance(kept, tuple)], self.blocks, first=0)
        found: list[tuple[Any, ...]] = []
        for i in self._of_kind(kind):
            position, sides = self.positions[i], self.results[i].sides
            if self.is_search:
                found.append(("project", position.channels, len(ends), sides))
            elif position.stride == 2:
                found += [("emitted", position.channels, sides) for state in ends if state < 2]
        return found if self.is_search else [*found, *self._reader_keys(kind, len(ends))]

    def _reader_keys(self, kind: str, n: int) -> Iterator[tuple[Any, ...]]:
        """What reads the outputs of cells of a kind, of n states each."""
        for i in range(len(self.positions)):
            if self.results[i].kind == kind:
                yield "newer", i, n
            if self.results[max(i - 1, 0)].kind == kind:
                yield "older", i, n
        if self.results[-1].kind == kind:
            yield "head", n

    def _form(self, key: tuple[Any, ...]) -> Form:
        """The part of a key, and the shape of its input."""
        what, *rest = key
        if what == "op":
            op, channels, stride, sides = rest
            return MICRO_OPS[op](channels, channels, stride), (channels, *sides)
        if what == "project":
            channels, n, sides = rest
            return relu_conv_bn(n * channels, channels, 1), (n * channels, *sides)
        if what == "emitted":
            channels, sides = rest
            return FactorizedReduction(channels, channels), (channels, *sides)
        if what == "head":
            width = rest[0] * self.results[-1].channels
            return nn.Linear(width, self.n_classes, bias=False), (width,)
        i, n = rest
        read = self.results[i if what == "newer" else max(i - 1, 0)]
        n_in, channels = n * read.channels, self.positions[i].channels
        if what == "newer":
            return relu_conv_bn(n_in, channels, 1), (n_in, *read.sides)
        return self.match_older(n_in, channels, read.sides != self.results[i].sides), (n_in, *read.sides)

    def _of_kind(self, kind: str) -> Sequence[int]:
        return [i for i, position in enumerate(self.positions) if position.kind == kind]
