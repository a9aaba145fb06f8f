"""Operations on the edges of a cell; each turns one state into a term of another state's sum."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from archwright.nn.choice.modules import ChoiceModule, OpChoice
from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.sizes import LazyDecision, Size, current
from archwright.nn.source import source_template


@source_template()
class Zero(nn.Module):
    """Zeros in the shape and layout of the input; `EdgeCell` leaves it out of its sums."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def relu_conv_bn(n_in: Size, n_out: Size, kernel: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """ReLU, convolution, batch norm; the convolution has a bias if the norm has none (as in NAS-Bench-201).

    The ReLU writes a new tensor, because other edges read the same state.

    Args:
        n_in: Input channels; may be a decision.
        n_out: Output channels; may be a decision.
        kernel: Odd side of the square kernel.
        stride: Step in pixels.
        affine: Whether the batch norm scales and shifts.
    """
    conv = Conv2d(n_in, n_out, kernel, stride=stride, bias=not affine)
    return nn.Sequential(nn.ReLU(), conv, BatchNorm2d(n_out, affine=affine))


def skip(n_in: Size, n_out: Size) -> nn.Module:
    """The identity if both widths are equal, else a 1x1 convolution without bias and a batch norm."""
    if isinstance(n_in, LazyDecision) and n_in is not n_out:
        return _ElasticSkip(n_in, n_out)
    if n_in is n_out or n_in == n_out:
        return nn.Identity()
    return nn.Sequential(_projection(n_in, n_out))


def _projection(n_in: Size, n_out: Size) -> OrderedDict[str, nn.Module]:
    return OrderedDict(conv=Conv2d(n_in, n_out, 1, bias=False), norm=BatchNorm2d(n_out))


class _ElasticSkip(ChoiceModule):
    """`skip` between two searched widths: projects only where the active ones differ.

    What it does depends on both; the decision it names is that of the width behind it, and the layers of the
    projection read the other one.
    """

    def __init__(self, n_in: LazyDecision, n_out: Size) -> None:
        super().__init__(n_in.name, n_in.selection, _projection(n_in, n_out))  # type: ignore[arg-type]
        self.sizes = (n_in, n_out)

    def active_children(self) -> list[tuple[str, nn.Module]]:
        n_in, n_out = map(current, self.sizes)
        return [] if n_in == n_out else self._named("conv", "norm")

    def forward(self, x: Tensor) -> Tensor:
        for _, layer in self.active_children():
            x = layer(x)
        return x


def is_zero(edge: nn.Module | None) -> bool:
    """Whether an edge gives only zeros. A weighted mixture does not: its weights need a gradient from every edge."""
    if isinstance(edge, OpChoice) and edge.weights is None:
        edge = edge.active
    return isinstance(edge, Zero)
