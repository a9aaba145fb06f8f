"""Parts of ENAS's whole networks (Pham et al., ICML 2018, section 2.3; `src/cifar10/general_child.py`).

In the search an operation ends with ReLU and skips are added; in the final network it begins with ReLU and skips are
concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from archwright.nn.ops.nasnet import pool
from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template

MakeBody = Callable[[int], list[nn.Module]]
"""Makes the layers of an operation whose input and output have this width."""


def _conv(kernel: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(channels)]


def _separable(kernel: int, channels: int) -> list[nn.Module]:
    depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return [depthwise, *_conv(1, channels)]


def _pool(kind: str, channels: int) -> list[nn.Module]:
    return [pool(kind, 3, channels, channels, 1)]


MACRO_OPS: dict[str, MakeBody] = {
    "conv_3x3": partial(_conv, 3),
    "sep_conv_3x3": partial(_separable, 3),
    "conv_5x5": partial(_conv, 5),
    "sep_conv_5x5": partial(_separable, 5),
    "avg_pool_3x3": partial(_pool, "avg"),
    "max_pool_3x3": partial(_pool, "max"),
}
"""The layers after an operation's 1x1 convolution, by name, in the order of their numbers in the released code."""

FULL = {"sep_conv_3x3": "conv_3x3", "sep_conv_5x5": "conv_5x5"}
"""The full convolutions that the released final network has in place of separable ones."""


def search_operation(op: str, channels: int) -> nn.Sequential:
    """1x1 convolution, batch norm, ReLU, the operation; batch norm and ReLU follow if it is a convolution."""
    last = [] if "pool" in op else [nn.ReLU()]
    return nn.Sequential(*_conv(1, channels), nn.ReLU(), *MACRO_OPS[op](channels), *last)


def final_operation(op: str, channels: int, *, full: bool = False) -> nn.Sequential:
    """ReLU, 1x1 convolution, batch norm, ReLU, the operation; batch norm follows if it is a convolution.

    Args:
        op: Name of the operation, a key of `MACRO_OPS`.
        channels: Channels of input and output.
        full: Whether separable convolutions are replaced by full ones, as in the released code, which builds no
            pooling at all.
    """
    body = MACRO_OPS[FULL.get(op, op) if full else op]
    return nn.Sequential(nn.ReLU(), *_conv(1, channels), nn.ReLU(), *body(channels))


@source_template(
    '''
    class SumKept(nn.Module):
        """The sum of some tensors of a list and its last one."""

        def __init__(self, kept: Sequence[int]) -> None:
            super().__init__()
            self.kept = list(kept)

        def forward(self, tensors: Sequence[Tensor]) -> Tensor:
            return sum((tensors[i] for i in self.kept), tensors[-1])
    ''',
    arguments=lambda join: {"kept": [i for i, bit in enumerate(join.bits) if current(bit)]},
)
class SumKept(nn.Module):
    """The last tensor of a list plus some of the others.

    Args:
        bits: For each tensor but the last: 1 if it is added, else 0.
    """

    def __init__(self, bits: Sequence[Size]) -> None:
        super().__init__()
        self.bits = tuple(bits)

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        *others, total = tensors
        for x, bit in zip(others, self.bits, strict=True):
            if current(bit):
                total = total + x
        return total


@source_template()
class SkipLayer(nn.Module):
    """An operation on the newest output of a list; its result is joined with some of the earlier outputs.

    Args:
        op: The operation.
        join: Makes the layer's output from the earlier outputs and the operation's result.
    """

    def __init__(self, op: nn.Module, join: nn.Module) -> None:
        super().__init__()
        self.op, self.join = op, join

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.join([*outputs[:-1], self.op(outputs[-1])])
        return out


@source_template('''
    class SkipNetwork(nn.Module):
        """Layers that read all outputs before them; behind some of them every output is halved."""

        def __init__(
            self,
            stem: nn.Module,
            layers: Sequence[nn.Module],
            reductions: Sequence[nn.Module],
            after: Sequence[int],
            head: nn.Module,
        ) -> None:
            super().__init__()
            self.stem, self.layers, self.head = stem, nn.ModuleList(layers), head
            self.reductions, self.after = nn.ModuleList(reductions), list(after)

        def forward(self, x: Tensor) -> Tensor:
            outputs = [self.stem(x)]
            for i, layer in enumerate(self.layers):
                outputs.append(layer(outputs))
                if i in self.after:
                    halves = self.reductions[self.after.index(i)]
                    outputs = [halve(output) for halve, output in zip(halves, outputs)]
            return self.head(outputs[-1])
''')
class SkipNetwork(nn.Module):
    """Layers that read all outputs before them; after some layers every output is halved: (N, C, H, W) → logits.

    Args:
        stem: Makes output 0 from the images.
        layers: Each takes the list of outputs so far and gives the next one.
        reductions: For each reduction a list of modules, one for every output so far.
        after: Numbers of the layers that a reduction follows.
        head: Makes the logits from the last output.
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: nn.ModuleList,
        reductions: nn.ModuleList,
        after: Sequence[int],
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.stem, self.layers, self.head = stem, layers, head
        self.reductions, self.after = reductions, list(after)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = [self.stem(x)]
        for i, layer in enumerate(self.layers):
            outputs.append(layer(outputs))
            if i in self.after:
                halves = self.reductions[self.after.index(i)]
                assert isinstance(halves, nn.ModuleList)
                outputs = [halve(output) for halve, output in zip(halves, outputs, strict=True)]
        logits: Tensor = self.head(outputs[-1])
        return logits
