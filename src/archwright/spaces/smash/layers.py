"""The layers of one block's operations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import nn

from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.elastic.grouped import GroupedConv2d
from archwright.nn.ops.memory_bank import BankOp, Paths
from archwright.nn.sizes import Size
from archwright.spaces.smash.grammar import conv_number, dilation_of, kernel_of, largest_dilation, slots_of
from archwright.spaces.smash.sampling import OpRules

Norms = Literal["sandwich", "full", "none"]
Sides = tuple[tuple[Size, Size], tuple[Size, Size]]
"""(kernel, dilation) of the height and of the width."""

Shared = MutableMapping[str, nn.Parameter]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def side_numbers(rules: OpRules) -> tuple[int, ...]:
    """Every pair of kernel and dilation that a side may have, as one number: 52 is kernel 5 at dilation 2."""
    return tuple(
        conv_number(kernel, dilation)
        for kernel in rules.kernels
        for dilation in range(1, min(rules.max_dilation, largest_dilation(kernel)) + 1)
    )


@dataclass(frozen=True)
class Layers:
    """Makes the operations of a block.

    Attributes:
        rules: The choices of an operation.
        banks: Number of banks.
        bottleneck: Largest width of the 1x1 convolution as a multiple of the operation's width.
        max_bottleneck: Largest width of the 1x1 convolution as a multiple of the widest operation's width.
        norms: Where batch norms are, see `Smash`.
    """

    rules: OpRules
    banks: int
    bottleneck: int
    max_bottleneck: int
    norms: Norms

    @property
    def bank(self) -> int:
        """Channels of a bank."""
        return self.rules.bank * self.rules.base

    def op(self, choose: Chooser, block: str, shared: Shared, i: int) -> BankOp:
        """One operation of a block; in a supernet all share the weights of their convolutions, except the 1x1.

        Args:
            choose: The chooser.
            block: Name of the block, with which the names of its decisions begin.
            shared: The weights that operations share.
            i: Number of the operation in its block.
        """
        name, every = f"{block}.op{i}", range(1, self.banks + 1)
        read = choose.inputs(f"{name}.read", self.banks, every, lambda j: nn.Identity(), join="concat")
        write = choose.inputs(f"{name}.write", self.banks, every, lambda j: nn.Identity()).kept
        width = choose.number(f"{name}.width", self.rules.widths)
        parts = [choose.map(partial(_kept, j, self.bank), read.kept, largest=self.bank) for j in range(self.banks)]
        n_in, n_out = sum(parts), choose.map(self._channels, width)
        middle = choose.map(self.n_middle, n_in, width, largest=self._largest_middle())
        body = OrderedDict(point=self.point(n_in, middle), paths=self._paths(choose, name, shared, middle, n_out))
        return BankOp(read, nn.Sequential(body), write, bank=self.bank)

    def point(self, n_in: Size, middle: Size) -> nn.Sequential:
        """The 1x1 convolution with its batch norms and activation."""
        conv = Conv2d(n_in, middle, 1, bias=False)
        if self.norms == "none":
            return nn.Sequential(conv)
        behind = [BatchNorm2d(middle)] if self.norms == "sandwich" else []
        return nn.Sequential(BatchNorm2d(n_in), nn.ReLU(), conv, *behind)

    def n_middle(self, n_in: int, width: int) -> int:
        """Channels after the 1x1 convolution: n_in, at most 1 to `bottleneck` times the operation's width."""
        n_out = self._channels(width)
        whole = min(max(n_in // n_out, 1), self.bottleneck) * n_out
        return min(whole, n_in, self.max_bottleneck * self._channels(self.rules.largest_width))

    def slot(
        self, n_in: Size, n_out: Size, sides: Sides, groups: Size, activation: nn.Module | None = None, **sharing: Any
    ) -> nn.Sequential:
        """One convolution of a path, after its batch norm and activation.

        Args:
            n_in: Input channels.
            n_out: Output channels.
            sides: (kernel, dilation) of the height and of the width.
            groups: Groups of channels.
            activation: The activation; None is ReLU.
            sharing: Passed on to `GroupedConv2d`: which weights to share.
        """
        (height, down), (width, across) = sides
        conv = GroupedConv2d(n_in, n_out, (height, width), dilation=(down, across), groups=groups, **sharing)
        norm = [BatchNorm2d(n_in)] if self.norms == "full" else []
        return nn.Sequential(*norm, activation or nn.ReLU(), conv)

    def _channels(self, width: int) -> int:
        return width * self.rules.base

    def _largest_middle(self) -> int:
        reads = range(1, self.banks + 1)
        return max(self.n_middle(n * self.bank, width) for n in reads for width in self.rules.widths)

    def _paths(self, choose: Chooser, name: str, shared: Shared, n_in: Size, n_out: Size) -> nn.Module:
        structures = self.rules.structures
        makers = {key: partial(self._structure, choose, name, shared, n_in, n_out, key) for key in structures}
        return choose.op(f"{name}.structure", makers) if len(structures) > 1 else makers[structures[0]]()

    def _structure(self, choose: Chooser, name: str, shared: Shared, n_in: Size, n_out: Size, structure: str) -> Paths:
        paths: dict[int, list[nn.Module]] = {}
        for slot in slots_of(structure):
            came_in = n_out if slot % 2 else n_in
            conv = self._chosen_conv(choose, f"{name}.conv{slot}", shared, came_in, n_out)
            paths.setdefault(slot // 2, []).append(conv)
        return Paths([nn.Sequential(*convs) for convs in paths.values()])

    def _chosen_conv(self, choose: Chooser, name: str, shared: Shared, n_in: Size, n_out: Size) -> nn.Module:
        numbers = side_numbers(self.rules)
        sides = []
        for side in ("rows", "columns"):
            number = choose.number(f"{name}.{side}", numbers)
            kernel = choose.map(kernel_of, number, largest=max(self.rules.kernels))
            sides.append((kernel, choose.map(dilation_of, number, largest=self.rules.max_dilation)))
        groups = choose.number(f"{name}.groups", self.rules.groups)
        activation, slot = self._activation(choose, name), name.rpartition(".")[2]
        return self.slot(n_in, n_out, (sides[0], sides[1]), groups, activation, shared=shared, key=slot)

    def _activation(self, choose: Chooser, name: str) -> nn.Module:
        found = {key: ACTIVATIONS[key] for key in self.rules.nonlinearities}
        return choose.op(f"{name}.nonlinearity", found) if len(found) > 1 else next(iter(found.values()))()


def _kept(bank: int, channels: int, kept: tuple[int, ...]) -> int:
    return channels if bank in kept else 0
