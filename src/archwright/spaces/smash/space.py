"""The search space of SMASH (Brock et al., ICLR 2018, arXiv:1708.05344)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar, get_args

import numpy as np
from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.core.drawing import Drawing
from archwright.core.errors import InvalidArchError, InvalidValueError, UsageError
from archwright.nn.choice import Chooser
from archwright.nn.choice.choosers import subsets
from archwright.nn.ops.memory_bank import FillBanks
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.spaces.arguments import check_image, whole_number
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, strides_of
from archwright.spaces.pieces import CostPiece
from archwright.spaces.smash.drawing import block_graph
from archwright.spaces.smash.grammar import KERNELS, NONLINEARITIES, STRUCTURES, Op, blocks_text, parse_blocks, slots_of
from archwright.spaces.smash.layers import Layers, Norms, side_numbers
from archwright.spaces.smash.pieces import Pieces
from archwright.spaces.smash.sampling import BlockSizes, OpRules, block_sizes, draw_block, n_banks
from archwright.spaces.smash.values import conv_values, op_of

Item = TypeVar("Item", int, str)

N_BLOCKS = 3
MAX_BANKS = 10
"""Most banks of a block: each is one digit in a code, and 10 banks have 1,023 subsets to choose from."""

MAX_OPS, MAX_GROUPS = 100, 8
SMALLEST_SHARE = 0.3
"""Smallest share of a block's read budget that SMASH draws."""

STEM_KERNEL = 7


@listed(
    "space",
    "smash",
    summary="SMASH: three blocks of memory banks; operations read, convolve and write any banks",
    source="Brock et al., ICLR 2018, arXiv:1708.05344",
)
class Smash(Space):
    """Blocks of memory banks: each operation reads any banks, convolves, and adds to any banks.

    An operation concatenates some banks, narrows them with a 1x1 convolution, applies one or two paths of one or two
    convolutions (each with kernel, dilation and groups), and adds its result to some banks. All banks of a block go to
    the next block, or to the classifier.

    The space is larger than SMASH's own: a bank holds zeros until it is written to, so any set of banks can be read and
    written, and a block has 1 to `ops` operations. Every such arch counts once: with b banks and w widths, a block has
    sum over n of ((2^b - 1)^2 w c)^n archs, where c counts the structures with their convolutions. `draw` draws as
    SMASH does: it reads only banks that were written to, fills empty banks in order, and reads within the budget.

    The paper's text was not available; this follows a summary and the released code. Deviations: the size of a bank
    is an argument, not drawn for each block; there are no gates, which the authors call broken; kernel and dilation of
    a side are one decision, 52 being kernel 5 at dilation 2; input channels that fill no bank are not made; a block
    gives all its banks to the next, even those that nothing was written to; layers begin as torch makes them, not
    orthogonal.

    A code lists the operations, see `grammar`.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        depth: Convolutions in a block of the wide ResNet that sets sizes and budget.
        width: Widening factor of that ResNet.
        base: The unit of channels, N.
        bank: Channels of a bank as a multiple of N, one number for all blocks or one for each.
        ops: Most operations of each block. With the paper's budget SMASH draws up to 14, 23 and 34.
        largest_width: Largest width of an operation as a multiple of N; the paper's k.
        structures: Structures to choose from; only "1000" by default, as in the released code.
        kernels: Sides of kernels to choose from, some of 3, 5 and 7.
        max_dilation: Largest dilation of a side; the kernel may allow only a smaller one.
        groups: Numbers of groups to choose from, divisors of N; by default all up to 8.
        nonlinearities: Activations before a convolution to choose from, some of relu, tanh and sigmoid.
        bottleneck: Largest width of the 1x1 convolution as a multiple of the operation's width.
        max_bottleneck: Largest width of the 1x1 convolution as a multiple of the widest operation's width.
        norms: "sandwich" (batch norms before and after the 1x1 convolution, as the winner is retrained), "full"
            (before every convolution), or "none" (as in the search).
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        depth: int = 12,
        width: int = 4,
        base: int = 8,
        bank: int | Sequence[int] = 4,
        ops: Sequence[int] = (3, 4, 6),
        largest_width: int = 8,
        structures: Sequence[str] = ("1000",),
        kernels: Sequence[int] = KERNELS,
        max_dilation: int = 3,
        groups: Sequence[int] | None = None,
        nonlinearities: Sequence[str] = ("relu",),
        bottleneck: int = 4,
        max_bottleneck: int = 2,
        norms: Norms = "sandwich",
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("smash", self.input_shape, MIN_SIDE)
        numbers = {"depth": depth, "width": width, "base": base, "largest_width": largest_width}
        numbers |= {"max_dilation": max_dilation, "bottleneck": bottleneck, "max_bottleneck": max_bottleneck}
        self._numbers = {name: whole_number(name, value, 1_000) for name, value in numbers.items()}
        self.bank = check_counts("bank", [bank] * N_BLOCKS if isinstance(bank, int) else bank, N_BLOCKS, "units")
        self.ops = check_counts("ops", ops, N_BLOCKS, "operations")
        if max(self.ops) > MAX_OPS:
            raise InvalidValueError(f"ops is {list(self.ops)}; give at most {MAX_OPS} a block")
        self.structures = _some("structures", structures, tuple(STRUCTURES))
        self.kernels = _some("kernels", kernels, KERNELS)
        self.nonlinearities = _some("nonlinearities", nonlinearities, NONLINEARITIES)
        divisors = tuple(i for i in range(1, base + 1) if base % i == 0)
        self._given_groups = groups
        usual = tuple(i for i in divisors if i <= MAX_GROUPS)
        self.groups = _some("groups", usual if groups is None else groups, divisors)
        if norms not in get_args(Norms):
            raise InvalidValueError(f"norms is {norms!r}; choose one of {', '.join(get_args(Norms))}")
        self.norms: Norms = norms
        self.depth, self.base = self._numbers["depth"], self._numbers["base"]
        self.sizes = block_sizes(self.depth, self._numbers["width"], self.base)
        self.banks = tuple(self._n_banks(i) for i in range(N_BLOCKS))

    def _n_banks(self, block: int) -> int:
        sizes, rules = self.sizes[block], self.rules(block)
        found = n_banks(sizes, rules, SMALLEST_SHARE, self.depth)
        bank = rules.bank * self.base
        place = f"bank[{block}] is {rules.bank}, {bank} channels"
        if sizes.n_in < bank or not rules.widths:
            raise InvalidValueError(
                f"{place}; block {block + 1} takes in {sizes.n_in} channels and operations are at most "
                f"{rules.largest_width} units wide; give a smaller one"
            )
        if found > MAX_BANKS:
            raise InvalidValueError(f"{place}, which makes {found} banks; give a larger one, for at most {MAX_BANKS}")
        return found

    def rules(self, block: int) -> OpRules:
        """The choices of an operation of a block."""
        return OpRules(
            self.bank[block],
            self.base,
            self._numbers["largest_width"],
            self.kernels,
            self._numbers["max_dilation"],
            self.groups,
            self.structures,
            self.nonlinearities,
        )

    def args(self) -> dict[str, Any]:
        lists = ("bank", "ops", "structures", "kernels", "nonlinearities")
        own = self._numbers | {name: list(getattr(self, name)) for name in lists}
        groups = None if self._given_groups is None else list(self.groups)
        return super().args() | own | {"groups": groups, "norms": self.norms}

    def input_forms(self) -> list[str]:
        return image_forms(N_BLOCKS - 1)

    def search_form(self) -> Self:
        """The network to search: without batch norms in operations."""
        return self.with_args(norms="none")

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found: list[Decision] = []
        for b in range(N_BLOCKS):
            counts = tuple(range(1, self.ops[b] + 1))
            found.append(Decision(f"block{b + 1}.ops", counts, "repeat"))
            for i in range(self.ops[b]):
                reached = () if i == 0 else (Condition(f"block{b + 1}.ops", counts[i:]),)
                found += self._op_decisions(b, f"block{b + 1}.op{i}", reached)
        return DecisionSpace(found)

    def _op_decisions(self, block: int, name: str, reached: tuple[Condition, ...]) -> list[Decision]:
        when = (reached,) if reached else ()
        banks = subsets(self.banks[block], range(1, self.banks[block] + 1))
        found = [
            Decision(f"{name}.read", banks, "inputs", when),
            Decision(f"{name}.write", banks, "inputs", when),
            Decision(f"{name}.width", self.rules(block).widths, "number", when),
        ]
        if len(self.structures) > 1:
            found.append(Decision(f"{name}.structure", self.structures, "op", when))
        for slot in dict.fromkeys(slot for structure in self.structures for slot in slots_of(structure)):
            having = tuple(structure for structure in self.structures if slot in slots_of(structure))
            chosen = () if having == self.structures else (Condition(f"{name}.structure", having),)
            found += self._conv_decisions(f"{name}.conv{slot}", (*reached, *chosen))
        return found

    def _conv_decisions(self, name: str, context: tuple[Condition, ...]) -> list[Decision]:
        when = (context,) if context else ()
        sides = side_numbers(self.rules(0))
        found = [Decision(f"{name}.{side}", sides, "number", when) for side in ("rows", "columns")]
        found.append(Decision(f"{name}.groups", self.groups, "number", when))
        if len(self.nonlinearities) > 1:
            found.append(Decision(f"{name}.nonlinearity", self.nonlinearities, "op", when))
        return found

    def network(self, choose: Chooser) -> nn.Module:
        channels = [bank * self.base * n for bank, n in zip(self.bank, self.banks, strict=True)]
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = nn.Conv2d(
            self.input_shape[0], self._filled(0), STEM_KERNEL, padding=STEM_KERNEL // 2, bias=False
        )
        for b in range(N_BLOCKS):
            layers = self.layers(b)
            shared: dict[str, nn.Parameter] = {}
            make = partial(layers.op, choose, f"block{b + 1}", shared)
            stages[f"fill{b + 1}"] = FillBanks(channels[b])
            stages[f"block{b + 1}"] = choose.repeat(f"block{b + 1}.ops", range(1, self.ops[b] + 1), make)
            if b + 1 < N_BLOCKS:
                stages[f"transition{b + 1}"] = self._transition(channels[b], self._filled(b + 1), self._strides()[b])
        head = [nn.BatchNorm2d(channels[-1]), nn.ReLU(), GlobalAvgPool2d(), nn.Linear(channels[-1], self.n_classes)]
        stages["head"] = nn.Sequential(*head)
        return nn.Sequential(stages)

    def layers(self, block: int) -> Layers:
        """The object that makes the operations of a block."""
        return Layers(
            self.rules(block),
            self.banks[block],
            self._numbers["bottleneck"],
            self._numbers["max_bottleneck"],
            self.norms,
        )

    def cost_pieces(self) -> Iterable[CostPiece]:
        """Two or more pieces for each operation: its 1x1 convolution, and each further one."""
        side, found = tuple(self.input_shape[1:]), []
        for b, stride in enumerate((*self._strides(), 1)):
            pieces = Pieces(b, self.layers(b), side)
            found += [piece for i in range(self.ops[b]) for piece in pieces.of(f"block{b + 1}.op{i}")]
            side = tuple(-(-length // stride) for length in side)
        return found

    def _filled(self, block: int) -> int:
        """Channels that come into a block: those of the banks they fill."""
        bank = self.bank[block] * self.base
        return min(self.sizes[block].n_in // bank, self.banks[block]) * bank

    def _strides(self) -> list[int]:
        """Of the transitions; the stem never strides."""
        return strides_of(self.input_shape, [False] + [True] * (N_BLOCKS - 1))[1:]

    @staticmethod
    def _transition(n_in: int, n_out: int, stride: int) -> nn.Sequential:
        layers = [nn.BatchNorm2d(n_in), nn.ReLU(), nn.Conv2d(n_in, n_out, 1, bias=False)]
        if stride == 2:  # the released code refuses odd sides; here the last row and column count by themselves
            layers.append(nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False))
        return nn.Sequential(*layers)

    # ── drawing archs, and their text ─────────────────────────────────────────────────────────────

    def draw(self, n: int, rng: np.random.Generator, *, largest_share: float = 1.0) -> list[Arch]:
        """Draw n archs as SMASH does (see `sampling`).

        Each block may read a share of its budget, drawn uniformly from 0.3 to `largest_share`. A block also ends when
        it has as many operations as `ops` allows.

        Args:
            n: How many.
            rng: Draws everything.
            largest_share: Largest share of the budget, in (0.3, 1]; SMASH raises it from 0.5 to 1 in the first half of
                its training.
        """
        if not SMALLEST_SHARE <= largest_share <= 1.0:
            raise InvalidValueError(f"largest_share is {largest_share!r}; give a share from {SMALLEST_SHARE} to 1")
        return [self.arch_of([self._drawn(b, rng, largest_share) for b in range(N_BLOCKS)]) for _ in range(n)]

    def _drawn(self, block: int, rng: np.random.Generator, largest_share: float) -> list[Op]:
        share = rng.uniform(SMALLEST_SHARE, largest_share)
        return draw_block(
            rng,
            self.sizes[block],
            self.rules(block),
            fraction=share,
            banks=self.banks[block],
            max_ops=self.ops[block],
        )

    def block_sizes(self) -> tuple[BlockSizes, ...]:
        """Channels and read budget of each block."""
        return self.sizes

    def blocks(self, arch: Mapping[str, Value]) -> list[list[Op]]:
        """The operations of each block of an arch."""
        self.row(arch)
        found = []
        for b in range(N_BLOCKS):
            count = arch[f"block{b + 1}.ops"]
            assert isinstance(count, int)
            found.append(
                [op_of(arch, f"block{b + 1}.op{i}", self.structures, self.nonlinearities) for i in range(count)]
            )
        return found

    def arch_of(self, blocks: Sequence[Sequence[Op]]) -> Arch:
        """The arch of three blocks of operations.

        Raises:
            InvalidArchError: If they are not in this space; the message has the operation.
        """
        values: dict[str, Value] = {}
        for b, block in enumerate(blocks):
            if not 1 <= len(block) <= self.ops[b]:
                raise InvalidArchError(f"block{b + 1} has {len(block)} operations; give 1 to {self.ops[b]}")
            values[f"block{b + 1}.ops"] = len(block)
            for i, op in enumerate(block):
                values |= self._values(f"block{b + 1}.op{i}", op)
        try:
            return self.decisions.arch(self.row(values))
        except UsageError as error:
            text = str(error)
            raise InvalidArchError(text if len(text) < 400 else f"{text[:200]} … {text[-100:]}") from None

    def _values(self, name: str, op: Op) -> dict[str, Value]:
        if op.structure not in self.structures:
            raise InvalidArchError(
                f"{name}: structure {op.structure!r} is none of this space; choose one of {', '.join(self.structures)}"
            )
        values: dict[str, Value] = {f"{name}.read": op.read, f"{name}.write": op.write, f"{name}.width": op.width}
        if len(self.structures) > 1:
            values[f"{name}.structure"] = op.structure
        for slot, conv in zip(op.slots, op.convs, strict=True):
            values |= conv_values(f"{name}.conv{slot}", conv, self.nonlinearities)
        return values

    def code(self, arch: Mapping[str, Value]) -> str:
        """The operations as text, see `grammar`."""
        return blocks_text(self.blocks(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the operation.
        """
        return self.arch_of(parse_blocks(code, N_BLOCKS))

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """For each block, its banks and which of them each operation reads and writes."""
        blocks = self.blocks(arch)
        graphs = [
            block_graph(f"block {b + 1}", block, self._filled(b) // (self.bank[b] * self.base), self.banks[b])
            for b, block in enumerate(blocks)
        ]
        n_ops = ", ".join(str(len(block)) for block in blocks)
        return Drawing(tuple(graphs), f"{self.name}: blocks of {n_ops} operations on memory banks")


def _some(name: str, given: Sequence[Item], known: tuple[Item, ...]) -> tuple[Item, ...]:
    """Some of the known values, each once."""
    offered = ", ".join(map(str, known))
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InvalidValueError(f"{name} is {given!r}; give a list of some of {offered}")
    for i, value in enumerate(given):
        if isinstance(value, bool) or value not in known or value in given[:i]:
            raise InvalidValueError(f"{name}[{i}] is {value!r}; give some of {offered}, each once")
    return tuple(given)
