"""ENAS's macro search space: whole networks (Pham et al., ICML 2018, arXiv:1802.03268, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from torch import nn

from archwright.core.anchors import Anchors
from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.drawing import Drawing
from archwright.nn.choice import Chooser
from archwright.nn.dropout import check_rate
from archwright.nn.elastic import Concat
from archwright.nn.ops.edges import relu_conv_bn
from archwright.nn.ops.enas import reduction
from archwright.nn.ops.enas_macro import (
    FULL,
    MACRO_OPS,
    SkipLayer,
    SkipNetwork,
    SumKept,
    final_operation,
    search_operation,
)
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image, truth_value, whole_number, whole_number_or_none
from archwright.spaces.base import Space
from archwright.spaces.enas.drawing import layers_graph
from archwright.spaces.enas.numbers import check_below, check_count, group_texts, grouped, read_digits
from archwright.spaces.enas.stack import MIN_SIDE
from archwright.spaces.nasnet.forms import MIN_FINAL_SIDE, strides_of
from archwright.spaces.pieces import CostPiece, Form

OPS = tuple(MACRO_OPS)
MAX_LAYERS = 100


@listed(
    "space",
    "enas-macro",
    summary="ENAS macro: 12 layers, each with one of 6 operations and any of the earlier outputs; 1.6e29 archs",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
class EnasMacro(Space):
    """Networks of L layers with skip connections: 6^L x 2^(L (L - 1) / 2) archs, 1.606e29 for 12 layers.

    A layer applies its operation to the output before it and joins the result with any of the earlier outputs, each
    by a decision of its own. Outputs are numbered from 0, which is the stem's. After two layers, at about one and two
    thirds of the depth, every output is halved.

    A code lists the layers as the released scripts do: the operation's number in the order of `OPS`, then a bit for
    each output it may join, like "0,30,010,2001". Text with the scripts' blanks between numbers is read too.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        layers: L; the paper searches with 12, the released final network has 24.
        channels: F, width of the first layers; by default 96, and 36 in the search. It doubles with each reduction,
            but not in the search.
        search: Whether it is the network that the search trains: it adds outputs, each after a ReLU. The final
            network concatenates them, and a convolution brings them back to F.
        full_convolutions: Whether full convolutions replace the separable ones in the final network, as in the
            released code.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        layers: int = 12,
        channels: int | None = None,
        search: bool = False,
        full_convolutions: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image(self.name, self.input_shape, MIN_SIDE)
        self.layers = whole_number("layers", layers, MAX_LAYERS, least=3)
        self.search = truth_value("search", search)
        self._given_channels = whole_number_or_none("channels", channels, 10_000, least=2)
        self.channels = self._given_channels or (36 if self.search else 96)
        self.full_convolutions = truth_value("full_convolutions", full_convolutions)
        self.dropout = check_rate("dropout", dropout)

    def args(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("layers", "search", "full_convolutions", "dropout")}
        return super().args() | {"channels": self._given_channels} | own

    def input_forms(self) -> list[str]:
        return [
            f"{MIN_SIDE} pixels a side and more: halved at both reductions where that leaves a map of at least "
            f"{MIN_FINAL_SIDE} x {MIN_FINAL_SIDE}, else at the second or at none"
        ]

    def search_form(self) -> Self:
        """The network of shared weights, 36 channels wide unless a width was given."""
        return self.with_args(search=True, full_convolutions=False, dropout=0.1)

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found = []
        for i in range(self.layers):
            found.append(Decision(_op(i), OPS))
            found += [Decision(_skip(i, j), (0, 1), "number") for j in range(i)]
        return DecisionSpace(found)

    def anchors(self) -> Anchors:
        numbers = range(self.layers)
        links = {f"layer{i}.skip{j}": (i, j) for i in numbers for j in range(i)}
        return Anchors({f"layer{i}.op": i for i in numbers}, links)

    def network(self, choose: Chooser) -> nn.Module:
        layers, reductions = nn.ModuleList(), nn.ModuleList()
        for i in range(self.layers):
            layers.append(self._layer(choose, i))
            if i in self.reductions:
                width, following = self._width(i), self._width(i + 1)
                stride = self._strides[len(reductions)]
                reductions.append(nn.ModuleList(reduction(width, following, stride) for _ in range(i + 2)))
        stem = nn.Sequential(
            nn.Conv2d(self.input_shape[0], self.channels, 3, padding=1, bias=False), nn.BatchNorm2d(self.channels)
        )
        classifier = nn.Linear(self._width(self.layers), self.n_classes, bias=False)
        head = nn.Sequential(GlobalAvgPool2d(), nn.Dropout(self.dropout), classifier)
        return SkipNetwork(stem, layers, reductions, self.reductions, head)

    @property
    def reductions(self) -> tuple[int, int]:
        """Numbers of the layers after which outputs are halved."""
        third = self.layers // 3
        return third - 1, 2 * third - 1

    @property
    def _is_full(self) -> bool:
        return self.full_convolutions and not self.search

    @property
    def _strides(self) -> list[int]:
        return strides_of(min(self.input_shape[1:]), "cifar")[1]

    def _n_reductions(self, layer: int) -> int:
        return sum(layer > reduced for reduced in self.reductions)

    def _width(self, layer: int) -> int:
        """Channels of a layer."""
        return self.channels if self.search else self.channels * 2 ** self._n_reductions(layer)

    def _sides(self, layer: int) -> tuple[int, int]:
        """Height and width of a layer's output."""
        height, width = self.input_shape[1:]
        for stride in self._strides[: self._n_reductions(layer)]:
            height, width = -(-height // stride), -(-width // stride)
        return height, width

    def _layer(self, choose: Chooser, i: int) -> nn.Module:
        width = self._width(i)
        op = choose.op(_op(i), {op: partial(self._operation, op, width) for op in OPS})
        bits = [choose.number(_skip(i, j), (0, 1)) for j in range(i)]
        if not bits:
            return SkipLayer(op, SumKept(()))
        if self.search:
            return SkipLayer(op, nn.Sequential(SumKept(bits), nn.BatchNorm2d(width)))
        sizes: list[Size] = [bit * width for bit in bits] + [width]
        return SkipLayer(op, nn.Sequential(Concat(sizes), *relu_conv_bn(sum(sizes), width, 1)))

    def _operation(self, op: str, width: int) -> nn.Module:
        if self.search:
            return search_operation(op, width)
        return final_operation(op, width, full=self._is_full)

    def cost_pieces(self) -> Iterable[CostPiece]:
        """One piece for each operation, and in the final network one for each skip, because it widens a convolution."""
        for i in range(self.layers):
            yield CostPiece((_op(i),), partial(self._op_keys, i), self._form)
            if not self.search:
                for j in range(i):
                    yield CostPiece((_skip(i, j),), partial(self._skip_keys, i), self._form)

    def _op_keys(self, i: int, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        return [("op", values[0], self._width(i), self._sides(i))]

    def _skip_keys(self, i: int, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        return [("skip", None, self._width(i), self._sides(i))] if values[0] else []

    def _form(self, key: tuple[Any, ...]) -> Form:
        what, op, width, sides = key
        module = self._operation(op, width) if what == "op" else nn.Conv2d(width, width, 1, bias=False)
        return module, (width, *sides)

    # ── names of members ──────────────────────────────────────────────────────────────────────────

    def ops(self, arch: Mapping[str, Value]) -> list[str]:
        """The operation of each layer."""
        self.row(arch)
        return [str(arch[_op(i)]) for i in range(self.layers)]

    def skips(self, arch: Mapping[str, Value]) -> list[list[int]]:
        """For each layer the numbers of the outputs that it joins; the stem's is 0, that of layer i is i + 1."""
        self.row(arch)
        return [[j for j in range(i) if arch[_skip(i, j)]] for i in range(self.layers)]

    def tokens(self, arch: Mapping[str, Value]) -> list[int]:
        """The arch in the numbers that the released code stores: for each layer its operation and its bits."""
        found: list[int] = []
        for i, (op, joined) in enumerate(zip(self.ops(arch), self.skips(arch), strict=True)):
            found += [OPS.index(op), *(int(j in joined) for j in range(i))]
        return found

    def arch_of_tokens(self, tokens: Sequence[int]) -> Arch:
        """The arch whose `tokens` these are.

        Raises:
            InvalidArchError: If there are too few or too many, or one is out of range; the message has the layer.
        """
        check_count(tokens, sum(self._sizes()))
        values: dict[str, Value] = {}
        for i, (op, *bits) in enumerate(grouped(tokens, self._sizes())):
            values[_op(i)] = OPS[check_below(f"the operation of layer {i}", op, len(OPS))]
            values |= {_skip(i, j): check_below(f"layer {i}: bit {j}", bit, 2) for j, bit in enumerate(bits)}
        return Arch(values)

    def code(self, arch: Mapping[str, Value]) -> str:
        """The layers in the numbers of the released code, like "0,30,010"."""
        return ",".join(group_texts(self.tokens(arch), self._sizes()))

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the layer.
        """
        places = [f"layer {i}" for i in range(self.layers)]
        return self.arch_of_tokens(read_digits(code, places, self._sizes()))

    def _sizes(self) -> list[int]:
        return [i + 1 for i in range(self.layers)]

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The network as a graph of layers and skips, with the reductions between them."""
        graph = layers_graph(self.ops(arch), self.skips(arch), self.reductions, FULL if self._is_full else {})
        n_skips = sum(map(len, self.skips(arch)))
        return Drawing((graph,), f"ENAS network of {self.layers} layers with {n_skips} skip connections")


def _op(layer: int) -> str:
    return f"layer{layer}.op"


def _skip(layer: int, output: int) -> str:
    return f"layer{layer}.skip{output}"
