"""Toy spaces: small enough to build in milliseconds, each with one property that is easy to get wrong."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.nn.choice import Chooser
from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.sizes import Size
from archwright.spaces.base import Space


def conditional_decisions() -> DecisionSpace:
    """Two like stages, each `skip`, or `conv` or `sep` with one of three kernels: (1 + 3 + 3)^2 = 49 archs.

    Decided one after the other, one arch of the 49 (two skips) would be drawn in one case of nine.

    >>> conditional_decisions().size()
    49
    """
    decisions: list[Decision] = []
    for stage in ("first", "second"):
        has_kernel = Condition(f"{stage}.op", ("conv", "sep"))
        decisions.append(Decision(f"{stage}.op", ("skip", "conv", "sep")))
        decisions.append(Decision(f"{stage}.kernel", (3, 5, 7), "number", when=((has_kernel,),)))
    return DecisionSpace(decisions)


class ElasticSpace(Space):
    """Every request of a chooser in one network of elastic layers: op, number, repeat, inputs and map.

    A block's kernel matters only where the block exists and is a convolution; the classifier's hidden width
    is computed from the width of the body.
    """

    input_shape = (3, 8, 8)
    n_classes = 4

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [4, 8])
        stem = conv_unit(self.input_shape[0], width, choose.number("kernel", [1, 3, 5]))
        body = choose.repeat("depth", [1, 2, 3], lambda i: _block(choose, f"block{i}", width))
        node = choose.inputs("inputs", 3, 2, lambda j: _edge(choose, f"edge{j}", width))
        hidden = choose.map(lambda channels: channels * 3 // 2 + 1, width)
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, hidden), nn.ReLU(), Linear(hidden, self.n_classes)
        )
        return _Joined(stem, body, node, head)


class BranchSpace(Space):
    """A cell whose node chooses one of three inputs and one operation, the same wherever its input comes from.

    The operation is asked for under each input and yet always active, as in ENAS: 3 x 2 x 2 archs.
    """

    input_shape = (3, 6, 6)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        ops = {"conv": lambda: conv_unit(4, 4, 3), "pool": lambda: nn.AvgPool2d(3, 1, 1)}
        stem = conv_unit(self.input_shape[0], 4, 1)
        node = choose.inputs("node.input", 3, 1, lambda j: choose.op("node.op", ops))
        last = choose.op("last", {"half": nn.Identity, "relu": nn.ReLU})
        return _Joined(stem, nn.Identity(), node, nn.Sequential(last, _classifier(4, self.n_classes)))


class NumberSpace(Space):
    """Numbers only: no module of the network is a choice, only sizes are. 4 x 2 archs."""

    input_shape = (3, 6, 6)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [2, 4, 6, 8])
        kernel = choose.number("kernel", [1, 3])
        depthwise = Conv2d(width, width, kernel, groups=width, bias=False)
        return nn.Sequential(conv_unit(3, width, kernel), depthwise, _classifier(width, self.n_classes))


class StrideSpace(Space):
    """Not additive: whether the first convolution strides changes what every later one costs. 2 x 3 x 2 archs."""

    input_shape = (3, 8, 8)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        down = {f"stride{stride}": partial(nn.Conv2d, 3, 4, 3, stride, 1) for stride in (1, 2)}
        kernels = {f"conv{kernel}": partial(Conv2d, 4, 4, kernel) for kernel in (1, 3, 5)}
        last = {"plain": partial(nn.Conv2d, 4, 6, 1), "wide": partial(nn.Conv2d, 4, 6, 3, padding=1)}
        stages = [choose.op("down", down), choose.op("middle", kernels), choose.op("last", last)]
        return nn.Sequential(*stages, _classifier(6, self.n_classes))


class StagesSpace(Space):
    """Elastic stages, each of 2 to 4 blocks with a kernel and an expansion: (9^2 + 9^3 + 9^4)^n_stages archs."""

    input_shape = (3, 8, 8)
    n_classes = 3
    n_stages = 3

    def network(self, choose: Chooser) -> nn.Module:
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=conv_unit(3, 4, 1))
        for s in range(self.n_stages):
            make = partial(_elastic_block, choose, f"stage{s}")
            stages[f"stage{s}"] = choose.repeat(f"stage{s}.depth", [2, 3, 4], make)
        stages["head"] = _classifier(4, self.n_classes)
        return nn.Sequential(stages)


def conv_unit(n_in: Size, n_out: Size, kernel: Size, *, groups: Size = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU; any size may be a decision."""
    return nn.Sequential(Conv2d(n_in, n_out, kernel, groups=groups, bias=False), BatchNorm2d(n_out), nn.ReLU())


class _Joined(nn.Module):
    """Stem, body, a node that reads from their outputs and the sum of both, head."""

    def __init__(self, stem: nn.Module, body: nn.Module, node: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stem, self.body, self.node, self.head = stem, body, node, head

    def forward(self, x: Tensor) -> Tensor:
        first = self.stem(x)
        second = self.body(first)
        result: Tensor = self.head(self.node([first, second, first + second]))
        return result


def _classifier(width: Size, n_classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, n_classes))


def _block(choose: Chooser, name: str, width: Size) -> nn.Module:
    def conv() -> nn.Module:
        kernel = choose.number(f"{name}.kernel", [3, 5])
        return nn.Sequential(conv_unit(width, width, kernel, groups=width), conv_unit(width, width, 1))

    return choose.op(f"{name}.op", {"conv": conv, "pool": lambda: nn.MaxPool2d(3, 1, 1)})


def _edge(choose: Chooser, name: str, width: Size) -> nn.Module:
    return choose.op(name, {"skip": nn.Identity, "point": lambda: conv_unit(width, width, 1)})


def _elastic_block(choose: Chooser, stage: str, i: int) -> nn.Module:
    middle = choose.number(f"{stage}.block{i}.expand", [1, 2, 3]) * 4
    kernel = choose.number(f"{stage}.block{i}.kernel", [1, 3, 5])
    return nn.Sequential(
        conv_unit(4, middle, 1), conv_unit(middle, middle, kernel, groups=middle), conv_unit(middle, 4, 1)
    )
