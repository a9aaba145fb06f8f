"""The mixed-precision search space of Single Path One-Shot (Guo et al., ECCV 2020, arXiv:1904.00420).

ResNet-18 or -34 (He et al., CVPR 2016), where each residual block chooses the bits of its weights and of its inputs.
No code of it was published; the six pairs of bits are those of the paper.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from archwright.core.arch import Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.drawing import Drawing
from archwright.core.errors import InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.initial import draw_fan_out
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.quantized import InputQuantizer, QuantizedConv2d, WeightQuantizer, check_bits
from archwright.nn.ops.residual import Residual
from archwright.spaces.arguments import check_image
from archwright.spaces.base import Space
from archwright.spaces.mobile import MIN_SIDE, check_counts, strides_of

BITS = ((1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (4, 4))
"""The paper's pairs (bits of a weight, bits of an input)."""

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
SMALL_BELOW = 64


@listed(
    "space",
    "spos-bits",
    summary="ResNet-18 or -34, the bits of weights and inputs of each block one of six pairs",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class SposBits(Space):
    """The bits of each residual block of ResNet-18 (6^8 archs) or ResNet-34 (6^16).

    A block's convolutions, including that of the shortcut, share one pair of bits; first convolution and classifier
    stay in full precision. A supernet holds one set of weights for all bits, and a largest input value for each pair.

    Below 64 pixels a 3x3 convolution without stride replaces the first convolution and pooling, and as many stages have
    a stride as leave a map of at least 4 x 4.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        depth: 18 or 34.
        bits: Pairs of bits of weights and of inputs, 1 to 8 each or 32 for full precision; the paper's six by default.
        full_precision: Further layers that stay in full precision, so that `bit_ops` does not count them:
            `block0.conv1`, `block0.conv2`, `block2.shortcut`, …
        widths: Channels of the four stages.
    """

    input_shape = (3, 224, 224)
    n_classes = 1000
    binned_cost = "bit-ops"

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        depth: int = 18,
        bits: Sequence[Sequence[int]] = BITS,
        full_precision: Sequence[str] = (),
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("spos-bits", self.input_shape, MIN_SIDE)
        if type(depth) is not int or depth not in DEPTHS:
            raise InvalidValueError(f"depth is {depth!r}; choose one of {', '.join(map(str, DEPTHS))}")
        self.depth = depth
        self.bits = check_pairs(bits)
        self.widths = check_counts("widths", widths, len(WIDTHS), "channels")
        self.full_precision = self._check_layers(full_precision)

    def args(self) -> dict[str, Any]:
        return super().args() | {
            "depth": self.depth,
            "bits": [list(pair) for pair in self.bits],
            "full_precision": list(self.full_precision),
            "widths": list(self.widths),
        }

    def input_forms(self) -> list[str]:
        return [
            f"{SMALL_BELOW} pixels a side and more: first convolution 7x7 and pooling, as in the paper",
            f"{MIN_SIDE} to {SMALL_BELOW - 1} pixels: first convolution 3x3, no pooling",
        ]

    def declare(self) -> DecisionSpace:
        return DecisionSpace([Decision(f"block{i}", tuple(self.keys())) for i in range(sum(DEPTHS[self.depth]))])

    def keys(self) -> dict[str, tuple[int, int]]:
        """Each pair of bits by its name, such as "w2a4": 2 bits a weight, 4 an input."""
        return {f"w{weight}a{inputs}": (weight, inputs) for weight, inputs in self.bits}

    def network(self, choose: Chooser) -> nn.Module:
        network = nn.Sequential(OrderedDict(self._stages(choose)))
        draw_fan_out(network)
        return network

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The strip of blocks, each labelled with its bits."""
        self.row(arch)
        strip = self.network_strip(arch)
        names = [block.note.partition(".")[0] for block in strip.blocks]
        blocks = [
            replace(block, label=str(arch[name]), note=f"{name}: {arch[name]}") if name in arch else block
            for name, block in zip(names, strip.blocks, strict=True)
        ]
        return Drawing((replace(strip, blocks=tuple(blocks)),), f"{self.name} {self.code(arch)}")

    # ── parts of the network ──────────────────────────────────────────────────────────────────────

    def _stages(self, choose: Chooser) -> dict[str, nn.Module]:
        is_small = min(self.input_shape[1:]) < SMALL_BELOW
        # places of strides: first convolution, pooling, four stages, the first of which never strides
        stem, pooling, *strides = strides_of(self.input_shape, (not is_small, not is_small, False, True, True, True))
        kernel = 3 if is_small else 7
        found: dict[str, nn.Module] = {
            "stem": nn.Sequential(
                nn.Conv2d(self.input_shape[0], self.widths[0], kernel, stem, kernel // 2, bias=False),
                nn.BatchNorm2d(self.widths[0]),
                nn.ReLU(inplace=True),
            )
        }
        if not is_small:
            found["pool"] = nn.MaxPool2d(3, pooling, 1)
        n_in = self.widths[0]
        for stage, i in self._places():
            is_first = f"block{i}.shortcut" in layers_of(self.depth)
            n_out = self.widths[stage]
            found[f"block{i}"] = self._block(choose, f"block{i}", n_in, n_out, strides[stage] if is_first else 1)
            n_in = n_out
        found["head"] = nn.Sequential(GlobalAvgPool2d(), nn.Linear(n_in, self.n_classes))
        return found

    def _places(self) -> list[tuple[int, int]]:
        """The stage of each block, and its number."""
        stages = [stage for stage, n_blocks in enumerate(DEPTHS[self.depth]) for _ in range(n_blocks)]
        return [(stage, i) for i, stage in enumerate(stages)]

    def _block(self, choose: Chooser, name: str, n_in: int, n_out: int, stride: int) -> nn.Sequential:
        """A residual block; ReLU stands behind the sum, so that no input of a quantised layer is negative."""
        main = nn.Sequential(
            OrderedDict(
                conv1=self._conv(choose, name, "conv1", n_in, n_out, 3, stride),
                norm1=nn.BatchNorm2d(n_out),
                relu=nn.ReLU(inplace=True),
                conv2=self._conv(choose, name, "conv2", n_out, n_out, 3, 1),
                norm2=nn.BatchNorm2d(n_out),
            )
        )
        shortcut: nn.Module = nn.Identity()
        if f"{name}.shortcut" in layers_of(self.depth):
            conv = self._conv(choose, name, "shortcut", n_in, n_out, 1, stride)
            shortcut = nn.Sequential(conv, nn.BatchNorm2d(n_out))
        return nn.Sequential(OrderedDict(sum=Residual(main, shortcut), relu=nn.ReLU(inplace=True)))

    def _conv(
        self, choose: Chooser, block: str, layer: str, n_in: int, n_out: int, kernel: int, stride: int
    ) -> nn.Conv2d:
        if f"{block}.{layer}" in self.full_precision:
            return nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        pairs = self.keys().items()
        return QuantizedConv2d(
            n_in,
            n_out,
            kernel,
            stride=stride,
            quantize_input=choose.op(block, {key: partial(InputQuantizer, inputs) for key, (_, inputs) in pairs}),
            quantize_weight=choose.op(block, {key: partial(WeightQuantizer, weight) for key, (weight, _) in pairs}),
        )

    def _check_layers(self, names: Any) -> tuple[str, ...]:
        known = layers_of(self.depth)
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise InvalidValueError(f"full_precision is {names!r}; give a list of layers such as {known[0]}")
        for i, name in enumerate(names):
            if name not in known:
                raise InvalidValueError(f"full_precision[{i}] is {name!r}; choose among {', '.join(known)}")
        for block in {name.partition(".")[0] for name in names}:
            if not {name for name in known if name.startswith(f"{block}.")} - set(names):
                raise InvalidValueError(f"full_precision leaves no layer of {block} to choose bits for; leave one out")
        return tuple(dict.fromkeys(names))


@functools.cache
def layers_of(depth: int) -> tuple[str, ...]:
    """Names of the layers of all blocks, which are quantised unless listed as `full_precision`.

    The first block of the second to fourth stage has a convolution on its shortcut.
    """
    found: list[str] = []
    first = [sum(DEPTHS[depth][:stage]) for stage in range(1, len(WIDTHS))]
    for i in range(sum(DEPTHS[depth])):
        layers = ("conv1", "conv2", "shortcut") if i in first else ("conv1", "conv2")
        found += [f"block{i}.{layer}" for layer in layers]
    return tuple(found)


def check_pairs(bits: Any) -> tuple[tuple[int, int], ...]:
    """The pairs of bits, after checking them; each may be given once.

    Raises:
        InvalidValueError: If one is no such pair or is given twice; the message has the position.
    """
    if isinstance(bits, str) or not isinstance(bits, Sequence) or not bits:
        raise InvalidValueError(f"bits is {bits!r}; give a list of pairs such as [2, 4]")
    pairs: list[tuple[int, int]] = []
    for i, pair in enumerate(bits):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2 or tuple(pair) in pairs:
            raise InvalidValueError(f"bits[{i}] is {pair!r}; give bits of weights and of inputs, each pair once")
        try:
            pairs.append((check_bits(pair[0]), check_bits(pair[1])))
        except InvalidValueError as error:
            raise InvalidValueError(f"bits[{i}]: {error}") from None
    return tuple(pairs)
