"""Base of the once-for-all chains of inverted residual blocks: decisions, stages, resolution, genotypes."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import nn

from archwright.core.arch import Value
from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.nn.choice import Chooser
from archwright.nn.dropout import check_rate
from archwright.nn.elastic import Conv2d, TransformedConv2d
from archwright.nn.initial import draw_fan_out, set_norms
from archwright.nn.ops.mbconv import MBConv
from archwright.nn.ops.resize import Resize2d
from archwright.nn.ops.squeeze import SqueezeExcite
from archwright.nn.sizes import Size, lazy_map
from archwright.spaces.arguments import check_image, truth_value
from archwright.spaces.auto_use import AutoUse
from archwright.spaces.mobile import MIN_SIDE, check_counts, image_forms, round_width, strides_of
from archwright.spaces.ofa.checks import check_factor, check_numbers
from archwright.spaces.ofa.genotype import Fields, GenotypeSpace, Slot
from archwright.spaces.ofa.layout import Image, Layout, PlacedStage, Stage, half, strided
from archwright.spaces.pieces import CostPiece, Form

KERNELS = (3, 5, 7)
EXPANDS = (3, 4, 6)
DEPTHS = (2, 3, 4)
RESOLUTIONS = tuple(range(128, 225, 4))
"""The 25 image sizes in pixels that the released training draws from."""
N_SEARCHED = 5
"""Number of stages whose depth is chosen; a stage after them has a single block."""


class OfaChain(GenotypeSpace):
    """A chain of stages: each block chooses its kernel and expansion, each of the first five stages its depth.

    In a supernet (Cai et al., ICLR 2020, Sec. 3) a smaller network uses the first blocks of a stage, the first
    channels in the middle of a block, and the centre of the next larger kernel times a matrix of the block.

    At 224 pixels the stem and four stages have stride 2. Smaller images keep as many of these strides as leave a map of
    at least 4 x 4; the stem's is dropped first, then those of the last stages. If resolutions are chosen, the network
    resizes its images (the released code resizes before), and the smallest resolution decides about the strides.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        widths: Channels after the stem, the first block and each stage, then those of the head.
        width_mult: Factor of all widths, which are rounded to multiples of 8.
        kernels: Kernel sides of a block to choose from.
        expands: Expansions of a block to choose from.
        depths: Numbers of blocks of a stage to choose from.
        resolutions: Image sizes to choose from, in pixels of the shorter side; empty leaves images as they are.
        kernel_matrices: Whether a supernet transforms kernels; if not, a smaller one is the centre of the largest.
        dropout: Dropout rate before the classifier.
    """

    input_shape = (3, 224, 224)
    n_classes = 1000
    auto = AutoUse(tuple({"width_mult": m} for m in (0.25, 0.5, 0.75, 1.0)), sides=(64, None))
    base_widths: ClassVar[tuple[int, ...]]
    stages: ClassVar[tuple[Stage, ...]]
    norm_eps: ClassVar[float]

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        widths: Sequence[int] | None = None,
        width_mult: float = 1.0,
        kernels: Sequence[int] = KERNELS,
        expands: Sequence[int] = EXPANDS,
        depths: Sequence[int] = DEPTHS,
        resolutions: Sequence[int] = (),
        kernel_matrices: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image(self.name, self.input_shape, MIN_SIDE)
        given = self.base_widths if widths is None else widths
        self.widths = check_counts("widths", given, len(self.base_widths), "channels")
        self.width_mult = check_factor("width_mult", width_mult)
        self.kernels = check_numbers("kernels", kernels, odd=True)
        self.expands = check_numbers("expands", expands)
        self.depths = check_numbers("depths", depths)
        self.resolutions = check_numbers("resolutions", resolutions, least=MIN_SIDE) if resolutions else ()
        self.kernel_matrices = truth_value("kernel_matrices", kernel_matrices)
        self.dropout = check_rate("dropout", dropout)

    def args(self) -> dict[str, Any]:
        own: dict[str, Any] = {"widths": list(self.widths), "width_mult": self.width_mult}
        own |= {"kernels": list(self.kernels), "expands": list(self.expands), "depths": list(self.depths)}
        own |= {"resolutions": list(self.resolutions), "kernel_matrices": self.kernel_matrices}
        return super().args() | own | {"dropout": self.dropout}

    def input_forms(self) -> list[str]:
        return image_forms(1 + sum(stage.stride == 2 for stage in self.stages))

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        found = [Decision("resolution", self.resolutions, "number")] if self.resolutions else []
        for s in range(1, len(self.stages) + 1):
            if s <= N_SEARCHED:
                found.append(Decision(f"stage{s}.depth", self.depths, "repeat"))
            for b in range(1, self._n_blocks(s) + 1):
                deep = tuple(depth for depth in self.depths if depth >= b)
                is_always = s > N_SEARCHED or deep == self.depths
                when = () if is_always else ((Condition(f"stage{s}.depth", deep),),)
                found.append(Decision(f"stage{s}.block{b}.kernel", self.kernels, "number", when))
                found.append(Decision(f"stage{s}.block{b}.expand", self.expands, "number", when))
        return DecisionSpace(found)

    def _n_blocks(self, stage: int) -> int:
        return max(self.depths) if stage <= N_SEARCHED else 1

    def genotype_fields(self) -> Fields:
        """The lists of a genotype: kernels and expansions of all possible blocks, depths, a chosen image size."""

        def entries(what: str, values: Sequence[int]) -> tuple[Slot, ...]:
            found = (f"stage{s}.block{b}.{what}" for s, n in enumerate(n_blocks, start=1) for b in range(1, n + 1))
            return tuple(Slot(name, {v: v for v in values}) for name in found)

        n_blocks = [self._n_blocks(s) for s in range(1, len(self.stages) + 1)]
        depths = [Slot(f"stage{s}.depth", {d: d for d in self.depths}) for s in range(1, N_SEARCHED + 1)]
        depths += [Slot(None, {1: 1})] * (len(self.stages) - N_SEARCHED)
        lists: dict[str, Slot | tuple[Slot, ...]] = {
            "ks": entries("kernel", self.kernels),
            "e": entries("expand", self.expands),
            "d": tuple(depths),
        }
        if self.resolutions:
            lists["image_size"] = Slot("resolution", {r: r for r in self.resolutions})
        return lists

    # ── network ───────────────────────────────────────────────────────────────────────────────────

    def network(self, choose: Chooser) -> nn.Module:
        layout = self._layout()
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        image: Image | None = None
        if self.resolutions:
            image = self._resized(choose.number("resolution", self.resolutions))
            stages["resize"] = Resize2d(*image)
        stages["stem"] = self.stem(layout, image)
        image = strided(image, layout.stem_stride)
        stages["block0"] = self.first_block(layout, image)
        for s, stage in enumerate(layout.stages, start=1):
            block = partial(self._searched_block, choose, f"stage{s}", stage, image)
            is_searched = s <= N_SEARCHED
            chain = choose.repeat(f"stage{s}.depth", self.depths, block) if is_searched else nn.Sequential(block(0))
            stages[f"stage{s}"] = chain
            image = strided(image, stage.stride)
        stages["head"] = self.head(layout, image)
        network = nn.Sequential(stages)
        draw_fan_out(network)
        set_norms(network, eps=self.norm_eps, momentum=0.1)
        return network

    @abstractmethod
    def stem(self, layout: Layout, image: Image | None) -> nn.Module:
        """The first convolution."""

    @abstractmethod
    def first_block(self, layout: Layout, image: Image | None) -> nn.Module:
        """The block before the stages, which has no decisions."""

    @abstractmethod
    def head(self, layout: Layout, image: Image | None) -> nn.Module:
        """The layers from the last feature map to the logits."""

    def block(self, stage: PlacedStage, i: int, image: Image | None, kernel: Size, expand: Size) -> nn.Module:
        """One block of a stage.

        Args:
            stage: The stage.
            i: Number of the block in its stage, from 0.
            image: Height and width of its input, if decisions change them.
            kernel: Side of its depth-wise kernel.
            expand: Its expansion.
        """
        n_in, stride = (stage.n_in, stage.stride) if i == 0 else (stage.n_out, 1)
        depthwise = TransformedConv2d if self.kernel_matrices else Conv2d
        narrow = partial(Conv2d, image=strided(image, stride))
        return MBConv(
            n_in,
            stage.n_out,
            kernel=kernel,
            expand=expand,
            stride=stride,
            activation=stage.kind.activation,
            squeeze=squeeze if stage.kind.has_squeeze else None,
            convs=(partial(Conv2d, image=image), partial(depthwise, image=image), narrow),
        )

    def _searched_block(self, choose: Chooser, name: str, stage: PlacedStage, image: Image | None, i: int) -> nn.Module:
        kernel = choose.number(f"{name}.block{i + 1}.kernel", self.kernels)
        expand = choose.number(f"{name}.block{i + 1}.expand", self.expands)
        return self.block(stage, i, image if i == 0 else strided(image, stage.stride), kernel, expand)

    def _layout(self) -> Layout:
        stem, *widths = (round_width(width * self.width_mult) for width in self.widths)
        n = len(self.stages)
        resolution = min(self.resolutions, default=min(self.input_shape[1:]))
        smallest = (self.input_shape[0], *self._sides_at(resolution))
        stem_stride, *strides = strides_of(smallest, (True, *(stage.stride == 2 for stage in self.stages)))
        places = zip(widths[:n], widths[1 : n + 1], strides, self.stages, strict=True)
        return Layout(
            stem, widths[0], stem_stride, tuple(PlacedStage(*place) for place in places), tuple(widths[n + 1 :])
        )

    def _sides_at(self, resolution: int) -> tuple[int, ...]:
        """Height and width of images whose shorter side has so many pixels."""
        shorter = min(self.input_shape[1:])
        return tuple(round(side * resolution / shorter) for side in self.input_shape[1:])

    def _resized(self, resolution: Size) -> Image:
        height: Size = lazy_map(lambda r: self._sides_at(r)[0], resolution)
        width: Size = lazy_map(lambda r: self._sides_at(r)[1], resolution)
        return height, width

    # ── costs ─────────────────────────────────────────────────────────────────────────────────────

    def cost_pieces(self) -> Iterable[CostPiece]:
        """One piece for each block and each further stage, because a pass at one resolution counts only one arch."""
        layout = self._layout()
        n_halvings = int(layout.stem_stride == 2)
        yield self._piece("stem", (), self.input_shape[0], 0, lambda: self.stem(layout, None))
        yield self._piece("block0", (), layout.stem, n_halvings, lambda: self.first_block(layout, None))
        for s, stage in enumerate(layout.stages, start=1):
            for i in range(self._n_blocks(s)):
                names = (f"stage{s}.block{i + 1}.kernel", f"stage{s}.block{i + 1}.expand")
                make = partial(self.block, stage, i, None)
                n_in = stage.n_in if i == 0 else stage.n_out
                yield self._piece((s, min(i, 1)), names, n_in, n_halvings, make)  # from the second on they are alike
                n_halvings += int(i == 0 and stage.stride == 2)
        yield self._piece("head", (), layout.last, n_halvings, lambda: self.head(layout, None))

    def _piece(
        self, part: Hashable, names: tuple[str, ...], n_in: int, n_halvings: int, make: Callable[..., nn.Module]
    ) -> CostPiece:
        """A part that takes the image halved so often, and depends on the named decisions besides."""

        def keys(values: tuple[Value | None, ...]) -> list[Hashable]:
            is_resized = bool(self.resolutions)
            sides = self._sides_at(int(str(values[0]))) if is_resized else self.input_shape[1:]
            chosen = values[1:] if is_resized else values
            for _ in range(n_halvings):
                sides = tuple(map(half, sides))
            return [] if None in chosen else [(part, sides, *chosen)]

        def form(key: Any) -> Form:
            _, sides, *chosen = key
            return make(*chosen), (n_in, *sides)

        return CostPiece((*(["resolution"] if self.resolutions else []), *names), keys, form)


def squeeze(middle: Size) -> nn.Module:
    """Squeeze-and-excitation of a quarter of the channels, with a hard sigmoid, as in MobileNetV3."""
    reduced: Size = lazy_map(lambda channels: round_width(channels // 4), middle)
    return SqueezeExcite(middle, reduced, gate=nn.Hardsigmoid)
