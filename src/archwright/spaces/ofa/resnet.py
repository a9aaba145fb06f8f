"""The ResNet-50D form of Once-for-All (Cai et al., ICLR 2020, arXiv:1908.09791); only the released code has it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

from torch import nn

from archwright.core.arch import Value
from archwright.core.catalog import listed
from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.nn.choice import Chooser, Fixed
from archwright.nn.dropout import check_rate
from archwright.nn.elastic import Linear
from archwright.nn.initial import draw_fan_out, set_norms
from archwright.nn.ops.mbconv import conv_unit
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.residual import Residual
from archwright.nn.sizes import Size
from archwright.spaces.arguments import check_image
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, round_width, strides_of
from archwright.spaces.ofa.checks import check_factors, check_numbers
from archwright.spaces.ofa.genotype import Fields, GenotypeSpace, Slot
from archwright.spaces.pieces import CostPiece, Form

STEM_WIDTH = 64
WIDTHS = (256, 512, 1024, 2048)
BASE_DEPTHS = (2, 2, 4, 2)
EXTRA_DEPTHS = (0, 1, 2)
WIDTH_MULTS = (0.65, 0.8, 1.0)
EXPANDS = (0.2, 0.25, 0.35)
STRIDED = (True, True, False, True, True, True)
"""Whether these have stride 2: the stem, the pooling after it, the first block of each stage."""


@listed(
    "space",
    "ofa-resnet50",
    summary="ResNet-50D with elastic depth, width and expansion: four stages of bottleneck blocks and the stem",
    source="mit-han-lab/once-for-all, of Cai et al., ICLR 2020, arXiv:1908.09791",
)
class OfaResNet50(GenotypeSpace):
    """Four stages choose depth and width, each block its expansion, the stem two widths and its middle layer.

    A block is ResNet's bottleneck: 1x1, 3x3 (with the stride) and 1x1 convolution, the sum with the shortcut, ReLU; the
    shortcut of a stage's first block is average pooling and a 1x1 convolution. The stem is two 3x3 convolutions and a
    residual one between them that may be left out, then 3x3 maximum pooling. In a supernet (see `OfaChain`) a smaller
    network uses the first blocks of a stage and the first channels of every layer.

    At 224 pixels the stem, the pooling and three stages have stride 2. Smaller images keep as many of these strides as
    leave a map of at least 4 x 4; the stem's is dropped first, then those of the last stages.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        widths: Channels of each stage at factor 1.
        stem_width: Channels of the stem at factor 1.
        base_depths: Blocks of each stage before any is added.
        extra_depths: Numbers of blocks that may be added to a stage.
        width_mults: Factors of widths to choose from; widths are rounded to multiples of 8.
        expands: Channels in the middle of a block, as shares of its output channels to choose from.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 224, 224)
    n_classes = 1000

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        widths: Sequence[int] = WIDTHS,
        stem_width: int = STEM_WIDTH,
        base_depths: Sequence[int] = BASE_DEPTHS,
        extra_depths: Sequence[int] = EXTRA_DEPTHS,
        width_mults: Sequence[float] = WIDTH_MULTS,
        expands: Sequence[float] = EXPANDS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image(self.name, self.input_shape, MIN_SIDE)
        self.widths = check_counts("widths", widths, len(WIDTHS), "channels")
        (self.stem_width,) = check_counts("stem_width", [stem_width], 1, "channels")
        self.base_depths = check_counts("base_depths", base_depths, len(WIDTHS), "blocks")
        self.extra_depths = check_numbers("extra_depths", extra_depths, least=0)
        self.width_mults = check_factors("width_mults", width_mults)
        self.expands = check_factors("expands", expands)
        self.dropout = check_rate("dropout", dropout)

    def args(self) -> dict[str, Any]:
        own: dict[str, Any] = {"widths": list(self.widths), "stem_width": self.stem_width}
        own |= {"base_depths": list(self.base_depths), "extra_depths": list(self.extra_depths)}
        own |= {"width_mults": list(self.width_mults), "expands": list(self.expands), "dropout": self.dropout}
        return super().args() | own

    def input_forms(self) -> list[str]:
        return image_forms(sum(STRIDED))

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found = [
            Decision("stem.inner_width", self.width_mults, "number"),
            Decision("stem.depth", (0, 1), "repeat"),
            Decision("stem.width", self.width_mults, "number"),
        ]
        for s in range(1, len(self.widths) + 1):
            depths = self._depths(s)
            found.append(Decision(f"stage{s}.width", self.width_mults, "number"))
            found.append(Decision(f"stage{s}.depth", depths, "repeat"))
            for b in range(1, max(depths) + 1):
                deep = tuple(depth for depth in depths if depth >= b)
                when = () if deep == depths else ((Condition(f"stage{s}.depth", deep),),)
                found.append(Decision(f"stage{s}.block{b}.expand", self.expands, "number", when))
        return DecisionSpace(found)

    def _depths(self, stage: int) -> tuple[int, ...]:
        return tuple(self.base_depths[stage - 1] + extra for extra in self.extra_depths)

    def genotype_fields(self) -> Fields:
        """Depths, expansions and width factors.

        `d` has the stem's depth (0, or the largest for its middle layer) and the blocks added to each stage, `e` an
        entry for each block that could be there, `w` the positions of the factors of the stem's two widths and each
        stage's.
        """
        stages = range(1, len(self.widths) + 1)
        # the released code leaves the stem's middle layer out at any depth but the largest
        most = max(*self.extra_depths, 1)  # with no choice of depth, 1 stands for the layer
        depths = [Slot("stem.depth", {extra: int(extra == most) for extra in (0, most, *self.extra_depths)})]
        depths += [Slot(f"stage{s}.depth", dict(zip(self.extra_depths, self._depths(s), strict=True))) for s in stages]
        blocks = [f"stage{s}.block{b}.expand" for s in stages for b in range(1, max(self._depths(s)) + 1)]
        widths = ["stem.inner_width", "stem.width", *(f"stage{s}.width" for s in stages)]
        return {
            "d": tuple(depths),
            "e": tuple(Slot(name, {e: e for e in self.expands}) for name in blocks),
            "w": tuple(Slot(name, dict(enumerate(self.width_mults))) for name in widths),
        }

    # ── network ───────────────────────────────────────────────────────────────────────────────────

    def network(self, choose: Chooser) -> nn.Module:
        stem_stride, pool_stride, *strides = strides_of(self.input_shape, STRIDED)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"], width = self._stem(choose, stem_stride)
        stages["pool"] = nn.MaxPool2d(3, pool_stride, 1)
        for s, (channels, stride) in enumerate(zip(self.widths, strides, strict=True), start=1):
            n_out = self._scaled(choose, f"stage{s}.width", channels)
            block = partial(self._block, choose, f"stage{s}", width, n_out, stride)
            stages[f"stage{s}"] = choose.repeat(f"stage{s}.depth", self._depths(s), block)
            width = n_out
        stages["head"] = self._head(width)
        network = nn.Sequential(stages)
        draw_fan_out(network)
        set_norms(network, eps=1e-5, momentum=0.1)
        return network

    def _stem(self, choose: Chooser, stride: int) -> tuple[nn.Module, Size]:
        middle = choose.number("stem.inner_width", self.width_mults)
        middle = choose.map(lambda mult: round_width(round_width(self.stem_width * mult) // 2), middle)

        def residual(i: int) -> nn.Module:
            return Residual(conv_unit(middle, middle, 3, activation=nn.ReLU), nn.Identity())

        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["first"] = conv_unit(self.input_shape[0], middle, 3, stride=stride, activation=nn.ReLU)
        layers["middle"] = choose.repeat("stem.depth", (0, 1), residual)
        width = self._scaled(choose, "stem.width", self.stem_width)
        layers["last"] = conv_unit(middle, width, 3, activation=nn.ReLU)
        return nn.Sequential(layers), width

    def _head(self, width: Size) -> nn.Module:
        return nn.Sequential(GlobalAvgPool2d(), nn.Dropout(self.dropout), Linear(width, self.n_classes))

    def _scaled(self, choose: Chooser, name: str, channels: int) -> Size:
        size: Size = choose.map(lambda mult: round_width(channels * mult), choose.number(name, self.width_mults))
        return size

    def _block(self, choose: Chooser, stage: str, before: Size, n_out: Size, stage_stride: int, i: int) -> nn.Module:
        n_in, stride = (before, stage_stride) if i == 0 else (n_out, 1)
        expand = choose.number(f"{stage}.block{i + 1}.expand", self.expands)
        middle = choose.map(lambda channels, share: round_width(round(channels * share)), n_out, expand)
        main: OrderedDict[str, nn.Module] = OrderedDict()
        main["reduce"] = conv_unit(n_in, middle, 1, activation=nn.ReLU)
        main["conv"] = conv_unit(middle, middle, 3, stride=stride, activation=nn.ReLU)
        main["expand"] = conv_unit(middle, n_out, 1, activation=None)
        block = Residual(nn.Sequential(main), _projection(n_in, n_out, stride) if i == 0 else nn.Identity())
        return nn.Sequential(OrderedDict(body=block, activation=nn.ReLU()))

    # ── costs ─────────────────────────────────────────────────────────────────────────────────────

    def cost_pieces(self) -> Iterable[CostPiece]:
        """Pieces for stem, blocks and head, built with plain widths and a chooser that has one expansion."""
        stem_stride, pool_stride, *strides = strides_of(self.input_shape, STRIDED)
        stem = ("stem.inner_width", "stem.depth", "stem.width")
        yield _piece(stem, "stem", lambda *v: (self._stem(_fixed(stem, v), stem_stride)[0], self.input_shape))
        sides = _halved(self.input_shape[1:], stem_stride, pool_stride)
        before, n_before = "stem.width", self.stem_width
        for s, (channels, stride) in enumerate(zip(self.widths, strides, strict=True), start=1):
            after = _halved(sides, stride)
            for b in range(1, max(self._depths(s)) + 1):
                own = (f"stage{s}.width", f"stage{s}.block{b}.expand")
                if b == 1:
                    form = partial(self._first_form, s, stride, n_before, channels, sides)
                    yield _piece((before, *own), (s, "first"), form)
                else:  # from the second on they are alike
                    yield _piece(own, (s, "other"), partial(self._other_form, s, b, channels, after))
            before, n_before, sides = f"stage{s}.width", channels, after
        yield _piece((before,), "head", lambda mult: self._head_form(round_width(n_before * mult), sides))

    def _first_form(
        self, s: int, stride: int, n_before: int, channels: int, sides: tuple[int, ...], *values: float
    ) -> Form:
        before, mult, expand = values
        n_in, n_out = round_width(n_before * before), round_width(channels * mult)
        chooser = Fixed({f"stage{s}.block1.expand": expand})
        return self._block(chooser, f"stage{s}", n_in, n_out, stride, 0), (n_in, *sides)

    def _other_form(self, s: int, b: int, channels: int, sides: tuple[int, ...], *values: float) -> Form:
        mult, expand = values
        width = round_width(channels * mult)
        chooser = Fixed({f"stage{s}.block{b}.expand": expand})
        return self._block(chooser, f"stage{s}", width, width, 1, b - 1), (width, *sides)

    def _head_form(self, width: int, sides: tuple[int, ...]) -> Form:
        return self._head(width), (width, *sides)


def _piece(names: tuple[str, ...], part: Hashable, form: Callable[..., Form]) -> CostPiece:
    return CostPiece(names, lambda values: [] if None in values else [(part, values)], lambda key: form(*key[1]))


def _fixed(names: tuple[str, ...], values: tuple[Value, ...]) -> Fixed:
    return Fixed(dict(zip(names, values, strict=True)))


def _halved(sides: Sequence[int], *strides: int) -> tuple[int, ...]:
    for stride in strides:
        sides = [-(-side // stride) for side in sides]
    return tuple(sides)


def _projection(n_in: Size, n_out: Size, stride: int) -> nn.Module:
    """The shortcut of ResNet-D: pooling takes the stride, so that no pixel is left out."""
    unit = conv_unit(n_in, n_out, 1, activation=None)
    return unit if stride == 1 else nn.Sequential(nn.AvgPool2d(stride, stride, ceil_mode=True), *unit)
