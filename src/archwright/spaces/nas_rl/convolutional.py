"""The convolutional space of Neural Architecture Search with Reinforcement Learning (Zoph and Le, ICLR 2017)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from archwright.core.anchors import Anchors
from archwright.core.arch import Arch, Value
from archwright.core.catalog import listed
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.drawing import Drawing
from archwright.core.errors import InvalidValueError
from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Linear, RectangularConv2d
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.ops.skip_network import PaddedConcat, SkipNetwork
from archwright.nn.sizes import Size, largest
from archwright.spaces.arguments import check_image, truth_value, whole_number
from archwright.spaces.base import Space
from archwright.spaces.nas_rl.drawing import layers_graph
from archwright.spaces.nas_rl.figures import Figures
from archwright.spaces.nas_rl.layers import SIDES, STRIDES, Layer, layers_text, parse_layers
from archwright.spaces.pieces import CostFormula

FILTERS = (24, 36, 48, 64)
MAX_LAYERS = 60


@listed(
    "space",
    "nas-rl",
    summary="Zoph & Le's CNNs: 15 layers, each with filter height, width and count, and the earlier layers it reads",
    source="Zoph & Le, ICLR 2017, arXiv:1611.01578",
)
class NasRl(Space):
    """Layers of 4 filter heights, 4 widths and 4 counts, each reading any earlier ones: 64^L * 2^(L(L-1)/2) archs.

    A layer is a convolution, batch norm and ReLU. It reads the concatenation of the layers whose skip bit is 1, or the
    image if there is none. The classifier averages over the image; it reads the concatenation of the layers that no
    other layer reads. If the images differ in size, zeros are added to the smaller ones
    (`nn.ops.skip_network.PaddedConcat`).

    A code lists the layers, like `7x5-48/3x3-36:1`, see `layers`.

    Args:
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        layers: L; the paper begins with 6 and ends with 20, and has 15 in the best network without strides.
        strides: Whether stride height and width of each layer, 1, 2 or 3, are searched too; then there are
            576^L * 2^(L(L-1)/2) archs.
        filters: Numbers of filters to choose from.
        pool_after: Layers after which 2x2 maximum pooling halves the image (13 and 24 in the paper's largest network).
    """

    input_shape = (3, 32, 32)
    n_classes = 10

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None = None,
        n_classes: int | None = None,
        layers: int = 15,
        strides: bool = False,
        filters: Sequence[int] = FILTERS,
        pool_after: Sequence[int] = (),
    ) -> None:
        super().__init__(input_shape=input_shape, n_classes=n_classes)
        check_image("nas-rl", self.input_shape, 1)
        self.layers = whole_number("layers", layers, MAX_LAYERS)
        self.strides = truth_value("strides", strides)
        self.filters = _ascending("filters", filters, 10_000)
        if not self.filters:
            raise InvalidValueError("filters is empty; give at least one number of filters")
        self.pool_after = _ascending("pool_after", pool_after, self.layers)

    def args(self) -> dict[str, Any]:
        own = {"layers": self.layers, "strides": self.strides}
        return super().args() | own | {"filters": list(self.filters), "pool_after": list(self.pool_after)}

    def input_forms(self) -> list[str]:
        return ["images of any size: convolutions are padded, strides and pooling round up"]

    # ── decisions and network ─────────────────────────────────────────────────────────────────────

    def declare(self) -> DecisionSpace:
        return DecisionSpace(
            [
                Decision(name, values, "number")
                for number in range(1, self.layers + 1)
                for name, values in self._decisions(number).items()
            ]
        )

    def anchors(self) -> Anchors:
        numbers = range(1, self.layers + 1)
        links = {f"layer{i}.skip{j}": (i, j) for i in numbers for j in range(1, i)}
        return Anchors({f"layer{i}.filters": i for i in numbers}, links)

    def _decisions(self, number: int) -> dict[str, tuple[int, ...]]:
        """Values by name, in the order of the controller's tokens: filter height, width, stride, count, anchors."""
        sides = {"filter_height": SIDES, "filter_width": SIDES}
        steps = {"stride_height": STRIDES, "stride_width": STRIDES} if self.strides else {}
        bits = {f"skip{j}": (0, 1) for j in range(1, number)}
        own: dict[str, tuple[int, ...]] = {**sides, **steps, "filters": self.filters, **bits}
        return {f"layer{number}.{name}": values for name, values in own.items()}

    def network(self, choose: Chooser) -> nn.Module:
        widths: list[Size] = [self.input_shape[0]]
        joins, layers, bits = [], [], []
        for number in range(1, self.layers + 1):
            chosen = {name.partition(".")[2]: choose.number(name, v) for name, v in self._decisions(number).items()}
            bits.append([chosen[f"skip{j}"] for j in range(1, number)])
            taken = _taken(choose, widths, bits[-1])
            joins.append(PaddedConcat(taken))
            layers.append(self._layer(number, sum(taken), chosen))
            widths.append(chosen["filters"])
        ends = [0, *(self._end(choose, j, widths[j], bits) for j in range(1, self.layers + 1))]
        head = nn.Sequential(GlobalAvgPool2d(), Linear(sum(ends), self.n_classes))
        return SkipNetwork(joins, layers, PaddedConcat(ends), head)

    def _layer(self, number: int, n_in: Size, chosen: Mapping[str, Any]) -> nn.Module:
        kernel = chosen["filter_height"], chosen["filter_width"]
        stride = chosen.get("stride_height", 1), chosen.get("stride_width", 1)
        layer = OrderedDict(
            conv=RectangularConv2d(n_in, chosen["filters"], kernel, stride),
            norm=BatchNorm2d(chosen["filters"]),
            relu=nn.ReLU(),
        )
        if number in self.pool_after:
            layer["pool"] = nn.MaxPool2d(2, 2, ceil_mode=True)
        return nn.Sequential(layer)

    def _end(self, choose: Chooser, j: int, width: Size, bits: Sequence[Sequence[Size]]) -> Any:
        """Channels of layer j that the classifier reads: all if no later layer reads them."""
        later = [bits[number - 1][j - 1] for number in range(j + 1, self.layers + 1)]
        return choose.map(_unless_any, width, *later, largest=largest(width))

    def cost_formula(self) -> CostFormula:
        """Costs of many archs in closed form, see `figures`."""
        shape = self.input_shape
        return Figures(self.decisions, shape, self.n_classes, self.layers, self.strides, self.pool_after).of

    # ── names of members ──────────────────────────────────────────────────────────────────────────

    def layers_of(self, arch: Mapping[str, Value]) -> list[Layer]:
        """The layers of an arch in order."""
        self.row(arch)
        return [self._layer_of(arch, number) for number in range(1, self.layers + 1)]

    def _layer_of(self, arch: Mapping[str, Any], number: int) -> Layer:
        own = {name: arch[f"layer{number}.{name}"] for name in ("filter_height", "filter_width", "filters")}
        reads = tuple(j for j in range(1, number) if arch[f"layer{number}.skip{j}"])
        steps = [arch[f"layer{number}.stride_{axis}"] if self.strides else 1 for axis in ("height", "width")]
        return Layer(own["filter_height"], own["filter_width"], own["filters"], reads, (steps[0], steps[1]))

    def code(self, arch: Mapping[str, Value]) -> str:
        """The layers in order, like "7x5-48/3x3-36:1"."""
        return layers_text(self.layers_of(arch), strides=self.strides)

    def parse(self, code: str) -> Arch:
        """The arch of a code.

        Raises:
            InvalidArchError: If it is no code of this space; the message has the layer.
        """
        values: dict[str, Value] = {}
        for number, layer in enumerate(parse_layers(code, self.layers, self.filters, strides=self.strides), 1):
            own = {"filter_height": layer.height, "filter_width": layer.width, "filters": layer.filters}
            if self.strides:
                own |= {"stride_height": layer.stride[0], "stride_width": layer.stride[1]}
            own |= {f"skip{j}": int(j in layer.reads) for j in range(1, number)}
            values |= {name: own[name.partition(".")[2]] for name in self._decisions(number)}
        return Arch(values)

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────

    def drawing(self, arch: Mapping[str, Value]) -> Drawing:
        """The layers as the paper's Figure 7 draws them, with every skip connection."""
        found = self.layers_of(arch)
        graph = layers_graph(found, self.pool_after, f"{self.layers} layers")
        return Drawing((graph,), f"nas-rl {self.code(arch)}")


def _taken(choose: Chooser, widths: Sequence[Size], bits: Sequence[Size]) -> list[Any]:
    """Channels that a layer takes of the image and of each earlier layer; of the image where it takes no other."""
    image = choose.map(_unless_any, widths[0], *bits, largest=widths[0])
    layers = [choose.map(_times, bit, width) for bit, width in zip(bits, widths[1:], strict=True)]
    return [image, *layers]


def _unless_any(width: int, *bits: int) -> int:
    return 0 if any(bits) else width


def _times(bit: int, width: int) -> int:
    return bit * width


def _ascending(what: str, numbers: Any, most: int) -> tuple[int, ...]:
    """Different whole numbers from 1 to `most`, ascending."""
    if not isinstance(numbers, list | tuple):
        raise InvalidValueError(f"{what} is {numbers!r}; give a list of whole numbers")
    found = tuple(whole_number(f"{what}[{i}]", number, most) for i, number in enumerate(numbers))
    if list(found) != sorted(set(found)):
        raise InvalidValueError(f"{what} is {list(found)}; give each number once, ascending")
    return found
