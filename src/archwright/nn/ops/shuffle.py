"""Blocks of ShuffleNetV2 (Ma et al., 2018) as SPOS uses them (Guo et al., 2020, released code)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.layout import split_even_odd
from archwright.nn.sizes import Lazy, Size
from archwright.nn.source import source_template


def conv_bn(
    n_in: Size,
    n_out: Size,
    kernel: int = 1,
    *,
    stride: int = 1,
    depthwise: bool = False,
    relu: bool = True,
    affine: bool = True,
    std: float | None = None,
) -> nn.Sequential:
    """Convolution without bias, batch norm, and ReLU unless `relu` is False, with the released code's initial weights.

    Batch norms begin with scale 1 and shift 0.0001.

    Args:
        n_in: Input channels; may be a decision.
        n_out: Output channels; may be a decision.
        kernel: Odd side of the square kernel.
        stride: Step in pixels.
        depthwise: Whether each channel has a filter of its own.
        relu: Whether a ReLU follows.
        affine: Whether the batch norm scales and shifts.
        std: Standard deviation of the initial weights; None is one over the largest number of input channels that a
            filter reads.
    """
    conv = _undrawn(n_in, n_out, kernel, stride, n_in if depthwise else 1)
    norm = BatchNorm2d(n_out, affine=affine)
    # nothing to fill in on the meta device, where the first normal draw takes torch a second
    if not conv.weight.is_meta:
        with torch.no_grad():
            conv.weight.normal_(0.0, 1.0 / conv.weight.shape[1] if std is None else std)
            if affine:
                norm.bias.fill_(0.0001)
    return nn.Sequential(conv, norm, nn.ReLU(inplace=True)) if relu else nn.Sequential(conv, norm)


def _undrawn(n_in: Size, n_out: Size, kernel: int, stride: int, groups: Size) -> nn.Conv2d:
    if isinstance(n_in, Lazy) or isinstance(n_out, Lazy) or isinstance(groups, Lazy):
        return Conv2d(n_in, n_out, kernel, stride=stride, groups=groups, bias=False)
    conv = _Undrawn(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    conv.__class__ = nn.Conv2d  # type: ignore[assignment]  # once made, a convolution like any other
    return conv


class _Undrawn(nn.Conv2d):
    """A convolution that is made without torch's own initial weights: drawing them took a third of a build."""

    def reset_parameters(self) -> None:
        """Left to whoever makes it."""


@source_template(
    '''
    class ShuffleBlock(nn.Module):
        """Two halves joined: the shortcut and the main path; without a shortcut, even channels pass unchanged."""

        def __init__(self, main: nn.Module, shortcut: nn.Module | None = None) -> None:
            super().__init__()
            self.main = main
            if shortcut is not None:
                self.shortcut = shortcut

        def forward(self, x: Tensor) -> Tensor:
            if hasattr(self, "shortcut"):
                return torch.cat((self.shortcut(x), self.main(x)), dim=1)
            return torch.cat((x[:, 0::2], self.main(x[:, 1::2])), dim=1)
    ''',
    arguments=lambda block: dict(block.named_children()),
)
class ShuffleBlock(nn.Module):
    """A shortcut half and a computing half, joined by concatenation.

    If the block keeps its shape, the input's even channels pass unchanged and the odd ones are computed on; this
    is the channel shuffle of the block before and the split of this one in a single step. If it has a stride or
    changes the width, both halves read the whole input and the shortcut half projects it.

    Args:
        n_in: Input channels.
        n_out: Output channels; divisible by 4, because half of them is split again.
        stride: 1 or 2.
        kernel: Side of the depth-wise kernel.
        separable_convs: 1 is the plain shuffle block (point-wise, depth-wise, point-wise); 3 is the
            "xception" block of three depth-wise/point-wise pairs.
        middle: Channels between the layers of the computing half; half of `n_out` by default.
        affine: Whether batch norms scale and shift.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        stride: int,
        kernel: int,
        separable_convs: int = 1,
        middle: Size | None = None,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.keeps_shape = stride == 1 and n_in == n_out
        n_main = n_in // 2 if self.keeps_shape else n_in
        # the shortcut keeps its width, but must leave channels to compute where the block does not widen
        n_shortcut = n_in // 2 if self.keeps_shape else n_in if n_in < n_out else n_out // 2
        middle, last = n_out // 2 if middle is None else middle, n_out - n_shortcut
        if separable_convs == 1:
            self.main = nn.Sequential(
                conv_bn(n_main, middle, affine=affine),
                conv_bn(middle, middle, kernel, stride=stride, depthwise=True, relu=False, affine=affine),
                conv_bn(middle, last, affine=affine),
            )
        else:
            widths = [n_main, *[middle] * (separable_convs - 1), last]
            self.main = nn.Sequential(
                *(
                    layer
                    for i, (a, b) in enumerate(pairwise(widths))
                    for layer in (
                        conv_bn(
                            a, a, kernel, stride=stride if i == 0 else 1, depthwise=True, relu=False, affine=affine
                        ),
                        conv_bn(a, b, affine=affine),
                    )
                )
            )
        if not self.keeps_shape:
            self.shortcut = nn.Sequential(
                conv_bn(n_in, n_in, kernel, stride=stride, depthwise=True, relu=False, affine=affine),
                conv_bn(n_in, n_shortcut, affine=affine),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.keeps_shape:
            even, odd = split_even_odd(x)
            return torch.cat((even, self.main(odd)), dim=1)
        return torch.cat((self.shortcut(x), self.main(x)), dim=1)
