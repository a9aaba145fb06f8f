"""The NASNet search space (Zoph, Vasudevan, Shlens and Le, CVPR 2018, arXiv:1707.07012), and that of AmoebaNet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, get_args

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.drawing import Drawing
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.core.graphs import Graphs
from archwright.nn.choice import Chooser
from archwright.nn.choice.choosers import subsets
from archwright.nn.dropout import check_rate
from archwright.nn.elastic import Linear
from archwright.nn.ops.auxiliary import SMALLEST_MAP, AuxiliaryHead
from archwright.nn.ops.nasnet import CellStack, MakeOp
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image, loss_weight, truth_value, whole_number
from archwright.spaces.base import Space
from archwright.spaces.nasnet import genotype as texts
from archwright.spaces.nasnet.cells import EDGES, CellRules, CellShape, build_cell
from archwright.spaces.nasnet.drawing import cell_graph
from archwright.spaces.nasnet.forms import (
    IMAGENET_FROM,
    MIN_FINAL_SIDE,
    FormName,
    Position,
    final_side,
    levels,
    stack,
    strides_of,
)
from archwright.spaces.nasnet.genotype import COMBINES, KINDS, Edge, Genotype, Outputs, check_outputs, unread
from archwright.spaces.nasnet.graphs import block_graphs
from archwright.spaces.nasnet.operations import AMOEBANET_OPS, NASNET_OPS, RELEASED_OPS
from archwright.spaces.nasnet.pieces import Pieces, PlacedCell
from archwright.spaces.pieces import CostPiece

Module = TypeVar("Module", bound=nn.Module)

MIN_SIDE = 4
EPS: dict[FormName, float] = {"cifar": 1e-5, "imagenet": 1e-3}
"""Epsilon of batch norm for each form, as in the released code."""


@listed(
    "space",
    "nasnet",
    summary="NASNet: a normal and a reduction cell of 5 blocks, each of two inputs, two of 13 operations, combination",
    source="Zoph et al., CVPR 2018, arXiv:1707.07012",
)
class NasNet(Space):
    """Two cells of B blocks: ((B + 1)!)^4 x 13^(4B) x 2^(2B) archs, 5.2e36 for five blocks.

    A block picks two earlier states of its cell, an operation for each, and how both become a new state: by sum or by
    concatenation. Every state has the cell's width; we put a 1x1 convolution after a concatenation, which the paper
    leaves open. The released code has sums only.

    A cell's output joins the states that no block reads, as the paper says, unless `outputs` names the states, as for
    the published cells, whose lists cannot be derived.

    A code is both cells as text, see `genotype.genotype_text`.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        cells: Number N of normal cells in each of three stages.
        channels: Width F of a state in the first stage; it doubles with each stage.
        form: "cifar", or "imagenet" with two reduction cells in the stem; by default "imagenet" from 64 pixels on.
        blocks: Number B of blocks in a cell.
        ops: Operations to choose from; by default the paper's.
        combines: Combinations to choose from.
        outputs: The states that form the outputs of the normal and the reduction cell; None for those that no block
            reads.
        stem_channels: Channels after the first convolution; by default 3 F ("cifar") or 32 ("imagenet").
        skip_reduction_input: Whether a cell after a reduction skips the reduction's input, see `forms.stack`.
        drop_path: Probability, at the last cell and step, that the result of an operation is dropped for an example.
        auxiliary: Weight of the loss of an auxiliary classifier before the second reduction, a part of training
            only; 0 for none. It is left out if the map there is smaller than 5 x 5.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 32, 32)
    n_classes = 10
    all_ops: ClassVar[Mapping[str, MakeOp]] = NASNET_OPS
    default_ops: ClassVar[tuple[str, ...]] = tuple(NASNET_OPS)
    all_combines: ClassVar[tuple[str, ...]] = COMBINES

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        cells: int = 2,
        channels: int = 32,
        form: FormName | None = None,
        blocks: int = 5,
        ops: Sequence[str] | None = None,
        combines: Sequence[str] | None = None,
        outputs: Sequence[Sequence[int]] | None = None,
        stem_channels: int | None = None,
        skip_reduction_input: bool = False,
        drop_path: float = 0.0,
        auxiliary: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image(self.name, self.input_shape, MIN_SIDE)
        self.form: FormName = (
            ("imagenet" if min(self.input_shape[1:]) >= IMAGENET_FROM else "cifar") if form is None else form
        )
        _check("form", self.form, self.form in get_args(FormName), f"one of {', '.join(get_args(FormName))}")
        self.cells = whole_number("cells", cells, 100)
        self.blocks = whole_number("blocks", blocks, 20)
        self.channels = whole_number("channels", channels, 10_000)
        least = 4 if self.form == "imagenet" else 2  # half of what is halved is at least one channel
        _check("channels", channels, self.channels >= least, f"at least {least} for form {self.form}")
        stem = 3 * self.channels if self.form == "cifar" else 32
        self.stem_channels = stem if stem_channels is None else whole_number("stem_channels", stem_channels, 10_000)
        self.ops = _some("ops", self.default_ops if ops is None else ops, tuple(self.all_ops))
        default = self.all_combines if outputs is None else self.all_combines[:1]
        self.combines = _some("combines", default if combines is None else combines, self.all_combines)
        self.outputs = None if outputs is None else self._checked_outputs(outputs)
        self.skip_reduction_input = truth_value("skip_reduction_input", skip_reduction_input)
        self.drop_path, self.dropout = check_rate("drop_path", drop_path), check_rate("dropout", dropout)
        self.auxiliary = loss_weight("auxiliary", auxiliary)

    def _checked_outputs(self, outputs: Sequence[Sequence[int]]) -> tuple[Outputs, Outputs]:
        given: list[Any] = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        is_pair = len(given) == len(KINDS) and all(isinstance(states, list | tuple) for states in given)
        _check("outputs", given, is_pair, "a list of states for the normal and one for the reduction cell")
        normal, reduction = (check_outputs(k, states, self.blocks) for k, states in zip(KINDS, given, strict=True))
        return normal, reduction

    def args(self) -> dict[str, Any]:
        sizes = ("cells", "channels", "form", "blocks", "stem_channels", "skip_reduction_input")
        names = (*sizes, "drop_path", "auxiliary", "dropout")
        lists = {
            "ops": list(self.ops),
            "combines": list(self.combines),
            "outputs": None if self.outputs is None else [list(states) for states in self.outputs],
        }
        return super().args() | {name: getattr(self, name) for name in names} | lists

    def input_forms(self) -> list[str]:
        final = f"{MIN_FINAL_SIDE} x {MIN_FINAL_SIDE}"
        return [
            f"{IMAGENET_FROM} pixels a side and more: form imagenet, a strided convolution and four reduction cells",
            f"{MIN_SIDE} to {IMAGENET_FROM - 1} pixels: form cifar, two reduction cells",
            f"in either form the first halvings are left out where the final map would be smaller than {final}",
        ]

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found: list[Decision] = []
        # in the order in which the network meets them
        for kind in KINDS if self.form == "cifar" else reversed(KINDS):
            for b in range(self.blocks):
                name = f"{kind}.block{b}"
                for i in EDGES:
                    found.append(Decision(f"{name}.input{i}", subsets(b + 2, 1), "inputs"))
                    found.append(Decision(f"{name}.op{i}", self.ops))
                if len(self.combines) > 1:
                    found.append(Decision(f"{name}.combine", self.combines))
        return DecisionSpace(found)

    def graphs(self, rows: Rows) -> dict[str, Graphs]:
        """Both cells; a block is a node with two edges, and all blocks lead to the output."""
        return block_graphs(self.decisions, rows, self.blocks, tuple(self.ops))

    def network(self, choose: Chooser) -> nn.Module:
        positions = self._positions()
        widths: list[Size] = [self.stem_channels]
        cells = nn.ModuleList()
        for i, position in enumerate(positions):
            shape = self._shape(positions, i, widths[i], widths[position.previous])
            cell, width = build_cell(choose, self._rules(position.kind), shape)
            cells.append(cell)
            widths.append(width)
        dropout = nn.Dropout(self.dropout)
        head = nn.Sequential(nn.ReLU(), GlobalAvgPool2d(), dropout, Linear(widths[-1], self.n_classes))
        network = CellStack(self._stem(), cells, [position.previous for position in positions], head)
        return self._with_eps(network)

    def build_for_training(self, arch: Mapping[str, Value]) -> nn.Module:
        """The network with its auxiliary classifier, unless the map it would read is too small."""
        network = self.build(arch)
        assert isinstance(network, CellStack)
        positions = self._positions()
        at = max(i for i, position in enumerate(positions) if position.kind == "reduction")
        height, width = self._sides(positions)[at]
        if self.auxiliary and min(height, width) >= SMALLEST_MAP:
            n_in = network.get_submodule(f"cells.{at}.current.1").in_channels
            assert isinstance(n_in, int)
            head = AuxiliaryHead(n_in, (height, width), self.n_classes, weight=self.auxiliary)
            network.add_auxiliary(self._with_eps(head), at)
        return network

    def cost_pieces(self) -> Iterable[CostPiece]:
        """One piece for each edge and combination; for each cell of searched width, one for the layers that read it."""
        positions = self._positions()
        kinds = [None, *(position.kind for position in positions)]
        widths = [self.stem_channels, *(position.channels for position in positions)]
        sides = self._sides(positions)
        cells = []
        for i, position in enumerate(positions):
            before = position.previous
            shape = self._shape(positions, i, widths[i], widths[before])
            cells.append(PlacedCell(position.kind, shape, sides[i], sides[before], kinds[i], kinds[before]))
        ops = {name: self.all_ops[name] for name in self.ops}
        return Pieces(tuple(cells), self.blocks, ops, self.combines, self.outputs is None, self.n_classes).all()

    def _shape(self, positions: list[Position], i: int, current: Size, previous: Size) -> CellShape:
        position, level = positions[i], list(levels(positions))
        return CellShape(
            channels=position.channels,
            stride=position.stride,
            current=current,
            previous=previous,
            is_first=position.previous == i,
            halves_previous=level[position.previous] != level[i],
            drop_path=self.drop_path * (i + 1) / len(positions),
        )

    def _sides(self, positions: list[Position]) -> list[tuple[int, ...]]:
        """Height and width of each result, the stem's first."""
        stride, _ = strides_of(min(self.input_shape[1:]), self.form)
        behind_stem = [(side - 1) // 2 if stride == 2 else side for side in self.input_shape[1:]]
        return [tuple(final_side(side, level) for side in behind_stem) for level in levels(positions)]

    def _with_eps(self, module: Module) -> Module:
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eps = EPS[self.form]
        return module

    def _positions(self) -> list[Position]:
        _, strides = strides_of(min(self.input_shape[1:]), self.form)
        return stack(self.cells, self.channels, strides, skip_reduction_input=self.skip_reduction_input)

    def _stem(self) -> nn.Sequential:
        stride, _ = strides_of(min(self.input_shape[1:]), self.form)
        padding = 0 if stride == 2 else 1
        conv = nn.Conv2d(self.input_shape[0], self.stem_channels, 3, stride, padding, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(self.stem_channels))

    def _rules(self, kind: str) -> CellRules:
        ops = {name: self.all_ops[name] for name in self.ops}
        return CellRules(kind, self.blocks, ops, self.combines, self._given_outputs(kind))

    def _given_outputs(self, kind: str) -> Outputs | None:
        return None if self.outputs is None else self.outputs[KINDS.index(kind)]

    # ── names of members ──────────────────────────────────────────────────────────────────────────

    def genotype(self, arch: Mapping[str, Value]) -> Genotype:
        """Both cells of an arch."""
        self.row(arch)
        cells = [tuple(self._block(arch, f"{kind}.block{b}") for b in range(self.blocks)) for kind in KINDS]
        return Genotype(cells[0], cells[1], self.outputs)

    def arch_of(self, genotype: Genotype) -> Arch:
        """The arch of two cells.

        Raises:
            InvalidArchError: If it is no member, or its outputs are not those of this space.
        """
        if genotype.outputs is not None and genotype.outputs != self.outputs:
            own = "those that no block reads" if self.outputs is None else f"{list(map(list, self.outputs))}"
            raise InvalidArchError(
                f"the states {list(map(list, genotype.outputs))} leave the cells of the genotype, and {own} those of "
                "the space; leave them out behind '@', or make the space with these outputs"
            )
        values: dict[str, Value] = {}
        for kind, cell in genotype.cells():
            for b, block in enumerate(cell):
                name = f"{kind}.block{b}"
                for i, edge in zip(EDGES, (block.first, block.second), strict=True):
                    values |= {f"{name}.input{i}": (edge.source,), f"{name}.op{i}": edge.op}
                if len(self.combines) > 1:
                    values[f"{name}.combine"] = block.combine
        self.row(values)
        return Arch(values)

    def _block(self, arch: Mapping[str, Value], name: str) -> texts.Block:
        first, second = (Edge(str(arch[f"{name}.op{i}"]), _source(arch[f"{name}.input{i}"])) for i in EDGES)
        return texts.Block(first, second, str(arch.get(f"{name}.combine", self.combines[0])))

    def code(self, arch: Mapping[str, Value]) -> str:
        """Both cells as text, see `genotype.genotype_text`."""
        return texts.genotype_text(self.genotype(arch))

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the cell and block.
        """
        return self.arch_of(texts.parse_genotype(code, self.ops, self.blocks, self.combines))

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """Both cells as in the paper's figure 4, and the network that repeats them."""
        genotype = self.genotype(arch)
        graphs = [
            cell_graph(kind, cell, self._given_outputs(kind) or _unread_of(cell)) for kind, cell in genotype.cells()
        ]
        strip = self.network_strip(arch, title="network", merge=True)
        return Drawing((*graphs, strip), f"{self.name} cells {texts.genotype_text(genotype)}, and the network of them")


@listed(
    "space",
    "amoebanet",
    summary="AmoebaNet: NASNet's cells with 8 operations and sums only; 3.1e29 members",
    source="Real et al., AAAI 2019, arXiv:1802.01548",
)
class AmoebaNet(NasNet):
    """NASNet's space with the eight operations of AmoebaNet and sums only: ((B + 1)!)^4 x 8^(4B) archs.

    `mutate` is the paper's step of evolution: one input or one operation of one block takes another value. `ops` also
    accepts the further operations of the released AmoebaNet-B and -D.
    """

    all_ops = RELEASED_OPS
    default_ops = tuple(AMOEBANET_OPS)
    all_combines = COMBINES[:1]


def _source(kept: Value) -> int:
    assert isinstance(kept, tuple)
    return kept[0]


def _unread_of(cell: texts.Cell) -> Outputs:
    return unread([edge.source for block in cell for edge in (block.first, block.second)], len(cell))


def _some(name: str, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    found = tuple(given) if isinstance(given, list | tuple) else ()
    is_accepted = bool(found) and all(item in known for item in found) and len(set(found)) == len(found)
    _check(name, given, is_accepted, f"a list of some of {', '.join(known)}, each once")
    return found


def _check(name: str, value: object, is_accepted: bool, accepted: str) -> None:
    if not is_accepted:
        raise InvalidValueError(f"{name} is {value!r}; give {accepted}")
