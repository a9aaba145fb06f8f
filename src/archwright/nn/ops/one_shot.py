"""Operations and choice blocks of the one-shot models of Bender et al. (ICML 2018).

Convolution, batch norm, ReLU, in this order; every operation keeps image and width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from archwright.nn.elastic import Conv2d
from archwright.nn.ops.pooling import LocalAvgPool2d
from archwright.nn.source import source_template


def sep_conv(width: int, kernel: int) -> nn.Sequential:
    """A pair of depth-wise separable convolutions: twice depth-wise, point-wise, batch norm, ReLU."""
    return nn.Sequential(*_separable(width, kernel), *_separable(width, kernel))


def _separable(width: int, kernel: int) -> list[nn.Module]:
    depthwise = Conv2d(width, width, kernel, groups=width, bias=False)
    return [depthwise, nn.Conv2d(width, width, 1, bias=False), *_norm_relu(width)]


def crossed_conv(width: int) -> nn.Sequential:
    """A 1x7 convolution, then a 7x1 one; batch norm and ReLU follow each."""
    row = nn.Conv2d(width, width, (1, 7), padding=(0, 3), bias=False)
    column = nn.Conv2d(width, width, (7, 1), padding=(3, 0), bias=False)
    return nn.Sequential(row, *_norm_relu(width), column, *_norm_relu(width))


def _norm_relu(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


ONE_SHOT_OPS: Mapping[str, Callable[[int], nn.Module]] = {
    "identity": lambda width: nn.Identity(),
    "sep_conv_3x3": partial(sep_conv, kernel=3),
    "sep_conv_5x5": partial(sep_conv, kernel=5),
    "sep_conv_7x7": partial(sep_conv, kernel=7),
    "conv_1x7_7x1": crossed_conv,
    "max_pool_3x3": lambda width: nn.MaxPool2d(3, 1, 1),
    "avg_pool_3x3": lambda width: LocalAvgPool2d(3),
}
"""For each name of an operation, a function that makes it for a width."""


@source_template('''
    class ChoiceBlock(nn.Module):
        """The joined inputs, batch norm and ReLU, then a sum of operations on what comes out."""

        def __init__(self, inputs: nn.Module, ops: nn.Module, norm: nn.Module, n_ops: int) -> None:
            super().__init__()
            self.inputs, self.ops, self.norm, self.n_ops = inputs, ops, norm, n_ops

        def forward(self, states: Sequence[Tensor]) -> Tensor:
            return self.ops([self.norm(self.inputs(states))] * self.n_ops)
''')
class ChoiceBlock(nn.Module):
    """A choice block: it reads some states and gives the sum of some operations.

    Args:
        inputs: Makes one state of `width` channels from the list of states.
        ops: Takes a list of `n_ops` copies of that state, one for each operation, and gives the operations' sum.
        width: Channels of every state.
        n_ops: Number of candidate operations.
    """

    def __init__(self, inputs: nn.Module, ops: nn.Module, *, width: int, n_ops: int) -> None:
        super().__init__()
        self.inputs, self.ops, self.n_ops = inputs, ops, n_ops
        # the ReLU writes into what only it reads
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        state = self.norm(self.inputs(states))
        out: Tensor = self.ops([state] * self.n_ops)
        return out
