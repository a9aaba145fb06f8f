"""Toy spaces: small enough to build in milliseconds, each with one property that is easy to handle wrongly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.core.relaxation import Relaxation
from archwright.nn.choice import Chooser
from archwright.nn.choice.choosers import Make
from archwright.nn.elastic import BatchNorm2d, Concat, Conv2d, Linear
from archwright.nn.ops.classifier import Classifier
from archwright.nn.ops.mbconv import MBConv
from archwright.nn.sizes import Size, largest
from archwright.nn.source import source_template
from archwright.spaces.base import Space


def conditional_decisions() -> DecisionSpace:
    """Two equal stages, each `skip`, or `conv` or `sep` with one of three kernels: (1 + 3 + 3)^2 = 49 archs.

    Drawing one decision after the other would give one of the 49 archs (two skips) with probability 1/9.

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
    """A network of elastic layers that uses every method of a chooser: op, number, repeat, inputs and map.

    A block's kernel is active only if the block exists and is a convolution; the classifier's hidden width is computed
    from the width of the body.
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
    """A cell whose node chooses one of three inputs and an operation, which is the same for each input.

    The network asks for the operation under each input, but it is always active, as in ENAS: 3 x 2 x 2 archs.
    """

    input_shape = (3, 6, 6)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        ops = {"conv": lambda: conv_unit(4, 4, 3), "pool": lambda: nn.AvgPool2d(3, 1, 1)}
        stem = conv_unit(self.input_shape[0], 4, 1)
        node = choose.inputs("node.input", 3, 1, lambda j: choose.op("node.op", ops))
        last = choose.op("last", {"half": nn.Identity, "relu": nn.ReLU})
        return _Joined(stem, nn.Identity(), node, nn.Sequential(last, _classifier(4, self.n_classes)))


class EdgesSpace(Space):
    """A cell like DARTS's: two nodes keep one of 2 and one of 3 inputs, each edge with one of two operations: 24 archs.

    While it is relaxed, edges have the candidate `none` too.
    """

    input_shape = (3, 6, 6)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        ops: dict[str, Make] = {"conv": lambda: conv_unit(4, 4, 3), "skip": nn.Identity}

        def node(i: int, n: int) -> nn.Module:
            made: nn.Module = choose.inputs(f"node{i}", n, 1, lambda j: choose.op(f"edge{j}{i}", ops))
            return made

        stems = [conv_unit(self.input_shape[0], 4, 1) for _ in range(2)]
        return TwoNodes(stems, [node(2, 2), node(3, 3)], _classifier(4, self.n_classes))

    def relaxation(self) -> Relaxation:
        edges = {f"node{i}": tuple(f"edge{j}{i}" for j in range(i)) for i in (2, 3)}
        return Relaxation(edges, frozenset(name for names in edges.values() for name in names))


@source_template()
class TwoNodes(nn.Module):
    """Two stems, two nodes that read all states before them, and a head on the last.

    Args:
        stems: Both read the input.
        nodes: Each takes the states before it.
        head: Reads the last state.
    """

    def __init__(self, stems: Sequence[nn.Module], nodes: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stems, self.nodes, self.head = nn.ModuleList(stems), nn.ModuleList(nodes), head

    def forward(self, x: Tensor) -> Tensor:
        states = [stem(x) for stem in self.stems]
        for node in self.nodes:
            states.append(node(states))
        return self.head(states[-1])  # type: ignore[no-any-return]


class NumberSpace(Space):
    """Only sizes are searched, no module of the network is a choice: 4 x 2 archs."""

    input_shape = (3, 6, 6)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [2, 4, 6, 8])
        kernel = choose.number("kernel", [1, 3])
        depthwise = Conv2d(width, width, kernel, groups=width, bias=False)
        return nn.Sequential(
            conv_unit(self.input_shape[0], width, kernel), depthwise, _classifier(width, self.n_classes)
        )


class StrideSpace(Space):
    """Costs are not additive: the first convolution's stride changes the cost of every later one. 2 x 3 x 2 archs."""

    input_shape = (3, 8, 8)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        down = {f"stride{stride}": partial(nn.Conv2d, self.input_shape[0], 4, 3, stride, 1) for stride in (1, 2)}
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
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=conv_unit(self.input_shape[0], 4, 1))
        for s in range(self.n_stages):
            make = partial(_elastic_block, choose, f"stage{s}")
            stages[f"stage{s}"] = choose.repeat(f"stage{s}.depth", [2, 3, 4], make)
        stages["head"] = _classifier(4, self.n_classes)
        return nn.Sequential(stages)


class MBConvSpace(Space):
    """Three elastic MBConv blocks: kernel and expansion of each, one width, and how many: 2 (6 + 36 + 216) archs."""

    input_shape = (3, 16, 16)
    n_classes = 5

    def network(self, choose: Chooser) -> nn.Module:
        width = choose.number("width", [8, 16])

        def block(i: int) -> nn.Module:
            kernel = choose.number(f"block{i}.kernel", [3, 5, 7])
            return MBConv(width, width, kernel=kernel, expand=choose.number(f"block{i}.expand", [2, 4]))

        return Classifier(
            conv_unit(self.input_shape[0], width, 3), choose.repeat("depth", [1, 2, 3], block), n_classes=self.n_classes
        )


class LooseEndsSpace(Space):
    """The output joins the states that no node reads, as in ENAS; one state is elastic too: 2 x 2 x 3 archs.

    The convolution after the join uses several separate slices of its widest weight.
    """

    input_shape = (3, 6, 6)
    n_classes = 3

    def network(self, choose: Chooser) -> nn.Module:
        widths = [4, choose.number("width", [2, 6]), 3, 5]
        chain = nn.ModuleList([conv_unit(self.input_shape[0], 4, 1), conv_unit(4, widths[1], 3)])

        def node(n: int) -> Any:
            return choose.inputs(f"node{n}.input", n, 1, lambda j: conv_unit(widths[j], widths[n], 3))

        nodes = [node(2), node(3)]
        reads = [node.kept for node in nodes]
        loose = [
            choose.map(partial(_unless_read, j), widths[j], *reads, largest=largest(widths[j])) for j in range(1, 4)
        ]
        return _LooseEnds(chain, nn.ModuleList(nodes), Concat(loose), conv_unit(sum(loose), 4, 1), self.n_classes)


def conv_unit(n_in: Size, n_out: Size, kernel: Size, *, groups: Size = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU; any size may be a decision.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: Odd side of the square kernel.
        groups: Groups of the convolution.
    """
    return nn.Sequential(Conv2d(n_in, n_out, kernel, groups=groups, bias=False), BatchNorm2d(n_out), nn.ReLU())


@source_template('''
    class Joined(nn.Module):
        """Stem, body, a node that reads from their outputs and the sum of both, head."""

        def __init__(self, stem: nn.Module, body: nn.Module, node: nn.Module, head: nn.Module) -> None:
            super().__init__()
            self.stem, self.body, self.node, self.head = stem, body, node, head

        def forward(self, x: Tensor) -> Tensor:
            first = self.stem(x)
            second = self.body(first)
            return self.head(self.node([first, second, first + second]))
''')
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


@source_template('''
    class LooseEnds(nn.Module):
        """Two states, two nodes that read earlier states, and the join of what was not read."""

        def __init__(
            self, chain: nn.ModuleList, nodes: nn.ModuleList, join: nn.Module, last: nn.Module, head: nn.Module
        ) -> None:
            super().__init__()
            self.chain, self.nodes, self.join, self.last, self.head = chain, nodes, join, last, head

        def forward(self, x: Tensor) -> Tensor:
            states = [self.chain[0](x)]
            states.append(self.chain[1](states[0]))
            for node in self.nodes:
                states.append(node(states))
            return self.head(self.last(self.join(states[1:])))
''')
class _LooseEnds(nn.Module):
    """Two states, two nodes that read earlier states, and the join of what was not read."""

    def __init__(self, chain: nn.ModuleList, nodes: nn.ModuleList, join: nn.Module, last: nn.Module, n: int) -> None:
        super().__init__()
        self.chain, self.nodes, self.join, self.last, self.head = chain, nodes, join, last, _classifier(4, n)

    def forward(self, x: Tensor) -> Tensor:
        states = [self.chain[0](x)]
        states.append(self.chain[1](states[0]))
        for node in self.nodes:
            states.append(node(states))
        result: Tensor = self.head(self.last(self.join(states[1:])))
        return result


def _unless_read(state: int, width: int, *reads: tuple[int, ...]) -> int:
    return 0 if any(state in kept for kept in reads) else width


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
