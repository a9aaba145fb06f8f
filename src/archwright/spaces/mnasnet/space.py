"""The search space of MnasNet (Tan et al., CVPR 2019, arXiv:1807.11626)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import nn

from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.nn.choice import Chooser, Fixed
from archwright.nn.dropout import check_rate
from archwright.nn.initial import draw_fan_out, set_norms
from archwright.nn.ops.edges import Zero
from archwright.nn.ops.mbconv import conv_unit, inverted_bottleneck
from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d
from archwright.nn.ops.residual import Residual
from archwright.nn.ops.squeeze import SqueezeExcite
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image
from archwright.spaces.auto_use import AutoUse
from archwright.spaces.base import Space
from archwright.spaces.mnasnet.blocks import (
    BLOCKS,
    CONV_OPS,
    KERNELS,
    LAST,
    SKIPS,
    SQUEEZES,
    STEM,
    Block,
    block_string,
    read_block,
)
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, round_width, strides_of
from archwright.spaces.pieces import CostPiece, Form

POOLED_SIDE = 3
"""Side in pixels of the shortcut's average pooling; our choice, since the paper does not give it."""


@listed(
    "space",
    "mnasnet",
    summary="seven blocks of like layers: convolution, kernel, squeeze-excitation, shortcut, filters, layers of each",
    source="Tan et al., CVPR 2019, arXiv:1807.11626",
)
class MnasNet(Space):
    """Seven blocks of equal layers; each block chooses its layer and how often the layer is repeated.

    A block's decisions are its convolution (regular, depth-wise separable, or inverted bottleneck of expansion 3 or
    6), kernel 3 or 5, squeeze-and-excitation of a quarter of the layer's input channels or none, the shortcut
    (identity, 3x3 average pooling or none; only in layers that keep their shape), and numbers of filters and of layers
    around those of MobileNetV2, never 0. Widths are decisions, so a supernet's layers are elastic.

    At 224 pixels the stem and the first layers of four blocks have stride 2. Smaller images keep as many of these
    strides as leave a map of at least 4 x 4; the stem's is dropped first, then those of the last blocks.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        width: Factor of the channels of the stem and all blocks, rounded to multiples of 8; the layer before the
            pooling keeps its 1280 channels. Values of decisions are the filters before this factor.
        filters: The numbers of filters each block may choose from; None takes the paper's. Some published networks
            have numbers that the paper's factors do not give.
        stem: Channels of the stem.
        dropout: Dropout rate before the classifier.
    """

    counts_supernet = True
    input_shape = (3, 224, 224)
    n_classes = 1000
    auto = AutoUse(tuple({"width": m} for m in (0.25, 0.5, 0.75, 1.0)), sides=(64, None))
    blocks: ClassVar[tuple[Block, ...]] = BLOCKS

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        width: float = 1.0,
        filters: Sequence[Sequence[int]] | None = None,
        stem: int = STEM,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("mnasnet", self.input_shape, MIN_SIDE)
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < float("inf"):
            raise InvalidValueError(f"width is {width!r}; give a factor above 0, such as 0.5")
        self.width = float(width)
        self.filters = self._checked_filters(filters)
        (self.stem,) = check_counts("stem", [stem], 1, "channels")
        self.dropout = check_rate("dropout", dropout)

    def _checked_filters(self, given: Sequence[Sequence[int]] | None) -> tuple[tuple[int, ...], ...]:
        if given is None:
            return tuple(block.filter_choices for block in self.blocks)
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != len(self.blocks):
            raise InvalidValueError(
                f"filters is {given!r}; give a list of numbers for each of {len(self.blocks)} blocks"
            )
        found = [
            check_counts(
                f"filters[{i}]", choices, max(len(choices) if isinstance(choices, Sequence) else 0, 1), "filters"
            )
            for i, choices in enumerate(given)
        ]
        for i, choices in enumerate(found):
            if len(set(choices)) < len(choices):
                raise InvalidValueError(f"filters[{i}] is {list(choices)}; name each number once")
        return tuple(found)

    def args(self) -> dict[str, Any]:
        own = {"width": self.width, "filters": [list(f) for f in self.filters], "stem": self.stem}
        return super().args() | own | {"dropout": self.dropout}

    def input_forms(self) -> list[str]:
        return image_forms(1 + sum(block.stride == 2 for block in self.blocks))

    def declare(self) -> DecisionSpace:
        found: list[Decision] = []
        for i, (block, filters) in enumerate(zip(self.blocks, self.filters, strict=True), start=1):
            found.append(Decision(f"block{i}.filters", filters, "number"))
            found.append(Decision(f"block{i}.layers", block.layer_choices, "repeat"))
            found.append(Decision(f"block{i}.kernel", KERNELS, "number"))
            found.append(Decision(f"block{i}.conv", tuple(CONV_OPS)))
            found.append(Decision(f"block{i}.se", SQUEEZES))
            found.append(Decision(f"block{i}.skip", SKIPS))
        return DecisionSpace(found)

    def network(self, choose: Chooser) -> nn.Module:
        strides = strides_of(self.input_shape, (True, *(block.stride == 2 for block in self.blocks)))
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        width: Size = round_width(self.stem * self.width)
        stages["stem"] = conv_unit(self.input_shape[0], width, 3, stride=strides[0], activation=nn.ReLU)
        for i, (block, filters) in enumerate(zip(self.blocks, self.filters, strict=True), start=1):
            name = f"block{i}"
            n_out: Size = choose.map(self._scaled, choose.number(f"{name}.filters", filters))
            layer = partial(_layer, choose, name, width, n_out, strides[i])
            stages[name] = choose.repeat(f"{name}.layers", block.layer_choices, layer)
            width = n_out
        stages["head"] = self._head(width)
        network = nn.Sequential(stages)
        draw_fan_out(network)
        set_norms(network, eps=1e-3, momentum=0.01)
        return network

    def _head(self, width: Size) -> nn.Module:
        head = [conv_unit(width, LAST, 1, activation=nn.ReLU), GlobalAvgPool2d(), nn.Dropout(self.dropout)]
        return nn.Sequential(*head, nn.Linear(LAST, self.n_classes))

    def cost_pieces(self) -> Iterable[CostPiece]:
        """Pieces for each block, its first layer and the equal ones after it, and one for the head."""
        strides = strides_of(self.input_shape, (True, *(block.stride == 2 for block in self.blocks)))
        sides = tuple(-(-side // strides[0]) for side in self.input_shape[1:])
        before: tuple[str, ...] = ()
        for i in range(1, len(self.blocks) + 1):
            names = [f"block{i}.{name}" for name in ("filters", "layers", "kernel", "conv", "se")]
            keys, form = partial(self._layer_keys, i, strides[i], sides), partial(self._layer_form, f"block{i}")
            yield CostPiece((*before, *names), keys, form)
            sides, before = tuple(-(-side // strides[i]) for side in sides), (names[0],)
        yield CostPiece(before, self._head_keys, lambda width: (self._head(width), (width, *sides)))

    def _head_keys(self, values: tuple[Any, ...]) -> list[Hashable]:
        return [self._scaled(values[0])]

    def _layer_keys(self, i: int, stride: int, sides: tuple[int, ...], values: tuple[Any, ...]) -> list[Hashable]:
        """Channels, stride, sides and choices of the layers of block i."""
        *before, filters, layers, kernel, conv, se = values
        n_in = self._scaled(before[0]) if before else round_width(self.stem * self.width)
        n_out, reduced = self._scaled(filters), tuple(-(-side // stride) for side in sides)
        chosen = (kernel, conv, se)
        return [(n_in, n_out, stride, sides, *chosen), *[(n_out, n_out, 1, reduced, *chosen)] * (layers - 1)]

    def _layer_form(self, block: str, key: tuple[Any, ...]) -> Form:
        n_in, n_out, stride, sides, kernel, conv, se = key
        # a shortcut has neither weights nor multiplications
        chosen = {"kernel": kernel, "conv": conv, "se": se, "skip": "none"}
        choose = Fixed(Arch({f"{block}.{name}": value for name, value in chosen.items()}))
        return _layer(choose, block, n_in, n_out, stride, 0), (n_in, *sides)

    def _scaled(self, filters: int) -> int:
        return filters if self.width == 1.0 else round_width(filters * self.width)

    # ── block strings ─────────────────────────────────────────────────────────────────────────────

    def code(self, arch: Mapping[str, Value]) -> str:
        """Block strings joined by commas, as in the released code; strides are those at 224 pixels."""
        self.row(arch)
        found, n_in = [], self.stem
        for i, block in enumerate(self.blocks, start=1):
            values = {name.partition(".")[2]: value for name, value in arch.items() if name.startswith(f"block{i}.")}
            found.append(block_string(values, n_in, block.stride))
            n_in = int(str(values["filters"]))
        return ",".join(found)

    def parse(self, code: str) -> Arch:
        """The arch of block strings joined by commas.

        Raises:
            InvalidArchError: If they are not in this space; the message has the block.
        """
        parts = code.replace(" ", "").split(",")
        if len(parts) != len(self.blocks):
            raise InvalidArchError(f"code {code!r} has {len(parts)} blocks; space {self.name!r} has {len(self.blocks)}")
        values: dict[str, Any] = {}
        n_in = self.stem
        for i, (part, block) in enumerate(zip(parts, self.blocks, strict=True), start=1):
            found = read_block(part, block, n_in, f"block{i}")
            values |= {f"block{i}.{name}": value for name, value in found.items()}
            n_in = found["filters"]
        self.row(values)
        return Arch(values)


def _layer(choose: Chooser, block: str, block_in: Size, n_out: Size, block_stride: int, i: int) -> nn.Module:
    """Layer number i of a block: only the first changes channels and strides."""
    n_in, stride = (block_in, block_stride) if i == 0 else (n_out, 1)
    kernel = choose.number(f"{block}.kernel", KERNELS)

    def squeeze(middle: Size) -> nn.Module:
        # of the layer's input, not of its middle
        reduced = choose.map(lambda channels: max(1, channels // 4), n_in)
        return choose.op(f"{block}.se", {"none": nn.Identity, "quarter": partial(SqueezeExcite, middle, reduced)})

    def main(expansion: int | None) -> nn.Module:
        if expansion is None:
            conv = conv_unit(n_in, n_out, kernel, stride=stride, activation=nn.ReLU)
            return nn.Sequential(OrderedDict(conv=conv, squeeze=squeeze(n_out)))
        expand = None if expansion == 1 else expansion
        sizes: dict[str, Any] = {"kernel": kernel, "expand": expand, "stride": stride}
        return inverted_bottleneck(n_in, n_out, **sizes, activation=nn.ReLU, squeeze=squeeze)

    body = choose.op(f"{block}.conv", {name: partial(main, expansion) for name, expansion in CONV_OPS.items()})
    shortcuts: dict[str, Any] = {"identity": nn.Identity, "pool": partial(LocalAvgPool2d, POOLED_SIDE), "none": Zero}
    shortcut = choose.op(f"{block}.skip", shortcuts)
    return Residual(body, shortcut if stride == 1 else None, sizes=(n_in, n_out))
