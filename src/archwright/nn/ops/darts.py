"""Operations of DARTS's cells (Liu et al., ICLR 2019, arXiv:1806.09055; `cnn/operations.py` of the released code).

ReLU comes before each convolution and writes a new tensor, because other edges read the same state. Convolutions have
no bias. Layers of an operation are numbered as in the released code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.drop_path import DropPath
from archwright.nn.layout import keep_layout
from archwright.nn.ops.auxiliary import AuxiliaryClassifier
from archwright.nn.ops.edges import Zero
from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d
from archwright.nn.source import source_template


def relu_conv_bn(n_in: int, n_out: int, *, affine: bool = True) -> nn.Sequential:
    """ReLU, 1x1 convolution, batch norm: how a cell brings its inputs to its own width.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        affine: Whether the batch norm scales and shifts.
    """
    return nn.Sequential(nn.ReLU(), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out, affine=affine))


def sep_conv(width: int, kernel: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """Two depth-wise separable convolutions: twice ReLU, depth-wise, point-wise, batch norm.

    Args:
        width: Channels of input and output.
        kernel: Odd side of the depth-wise kernel.
        stride: Stride of the first convolution, 1 or 2.
        affine: Whether batch norms scale and shift.
    """
    return nn.Sequential(
        *_separable(width, kernel, stride=stride, affine=affine), *_separable(width, kernel, affine=affine)
    )


def dil_conv(width: int, kernel: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """One depth-wise separable convolution of dilation 2; its kernel covers 2 * kernel - 1 pixels a side.

    Args:
        width: Channels of input and output.
        kernel: Odd side of the depth-wise kernel.
        stride: 1 or 2.
        affine: Whether the batch norm scales and shifts.
    """
    return nn.Sequential(*_separable(width, kernel, stride=stride, dilation=2, affine=affine))


def _separable(width: int, kernel: int, *, stride: int = 1, dilation: int = 1, affine: bool) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(width, width, kernel, stride, padding, dilation, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width, affine=affine),
    ]


def max_pool(width: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """3x3 max pooling; a batch norm follows it if batch norms are not affine, which is the case in a search.

    Args:
        width: Channels of input and output.
        stride: 1 or 2.
        affine: Whether the network's batch norms scale and shift.
    """
    return nn.Sequential(nn.MaxPool2d(3, stride, 1), *_norm_while_searching(width, affine))


def avg_pool(width: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """3x3 average pooling that does not count the padding; batch norm as in `max_pool`.

    Args:
        width: Channels of input and output.
        stride: 1 or 2.
        affine: Whether the network's batch norms scale and shift.
    """
    pool = LocalAvgPool2d(3) if stride == 1 else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.Sequential(pool, *_norm_while_searching(width, affine))


def _norm_while_searching(width: int, affine: bool) -> list[nn.Module]:
    return [] if affine else [nn.BatchNorm2d(width, affine=False)]


def skip_connect(width: int, *, stride: int = 1, affine: bool = True) -> nn.Module:
    """The identity; at stride 2 `factorized_reduce`.

    Args:
        width: Channels of input and output.
        stride: 1 or 2.
        affine: Whether the batch norm scales and shifts.
    """
    return nn.Identity() if stride == 1 else factorized_reduce(width, width, affine=affine)


def dropping(op: nn.Module, rate: float) -> nn.Module:
    """The operation followed by a `DropPath`, its layers named as before; an identity is never dropped."""
    if rate == 0 or not isinstance(op, nn.Sequential):
        return op
    return op.append(DropPath(rate))


def none(stride: int = 1) -> nn.Module:
    """The operation `none`, which stands for no edge: zeros."""
    return Zero() if stride == 1 else StridedZero(stride)


def factorized_reduce(n_in: int, n_out: int, *, affine: bool = True) -> nn.Sequential:
    """Halves the image: ReLU, two 1x1 convolutions of stride 2 that read different pixels, batch norm.

    Args:
        n_in: Input channels.
        n_out: Output channels, at least 2.
        affine: Whether the batch norm scales and shifts.
    """
    return nn.Sequential(nn.ReLU(), TwoPhases(n_in, n_out), nn.BatchNorm2d(n_out, affine=affine))


@source_template(
    '''
    class TwoPhases(nn.Module):
        """Two convolutions of stride 2, the second on the image moved by one pixel, joined: half the image."""

        def __init__(self, first: nn.Module, second: nn.Module) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x: Tensor) -> Tensor:
            moved = F.pad(x, (-1, x.shape[3] % 2, -1, x.shape[2] % 2))
            return torch.cat((self.first(x), self.second(moved)), dim=1)
    ''',
    arguments=lambda halves: dict(halves.named_children()),
)
class TwoPhases(nn.Module):
    """1x1 convolutions of stride 2 on pixels (0, 0), (0, 2), … and (1, 1), (1, 3), …: (N, C, H, W) → (N, C', ⌈H/2⌉, …).

    Each makes half of the output channels. If a side is odd, which the released code refuses, the last pixel has no
    neighbour; the second convolution reads a zero there.

    Args:
        n_in: Input channels.
        n_out: Output channels, at least 2.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out // 2, 1, 2, bias=False)
        self.second = nn.Conv2d(n_in, n_out - n_out // 2, 1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        moved = F.pad(keep_layout(x), (-1, x.shape[3] % 2, -1, x.shape[2] % 2))
        return torch.cat((self.first(x), self.second(moved)), dim=1)


@source_template(
    '''
    class PartialChannels(nn.Module):
        """An operation on the first channels; the others pass by, then all are mixed."""

        def __init__(self, op: nn.Module, share: int, stride: int) -> None:
            super().__init__()
            self.op, self.share, self.stride = op, share, stride

        def forward(self, x: Tensor) -> Tensor:
            taken = x.shape[1] // self.share
            rest = x[:, taken:] if self.stride == 1 else F.max_pool2d(x[:, taken:], 2, 2, ceil_mode=True)
            out = torch.cat((self.op(x[:, :taken]), rest), dim=1)
            n, width, height, side = out.shape
            return out.reshape(n, self.share, width // self.share, height, side).transpose(1, 2).reshape(out.shape)
    '''
)
class PartialChannels(nn.Module):
    """An operation on one channel of so many; the others pass by, and all are shuffled (PC-DARTS, Xu et al., 2020).

    With stride 2 what passes by is the largest of 2x2 pixels.

    Args:
        op: Works on the first channels.
        share: Of so many channels it works on one.
        stride: Of the operation, 1 or 2.
    """

    def __init__(self, op: nn.Module, share: int, *, stride: int = 1) -> None:
        super().__init__()
        self.op, self.share, self.stride = op, share, stride

    def forward(self, x: Tensor) -> Tensor:
        taken = x.shape[1] // self.share
        x = keep_layout(x)
        rest = x[:, taken:] if self.stride == 1 else F.max_pool2d(x[:, taken:], 2, 2, ceil_mode=True)
        out = torch.cat((self.op(x[:, :taken]), rest), dim=1)
        n, width, height, side = out.shape
        return out.reshape(n, self.share, width // self.share, height, side).transpose(1, 2).reshape(out.shape)


@source_template()
class StridedZero(nn.Module):
    """The operation `none` on an edge with a stride: zeros, (N, C, H, W) → (N, C, ⌈H/n⌉, ⌈W/n⌉).

    Args:
        stride: The stride n in pixels.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])

    def extra_repr(self) -> str:
        return str(self.stride)


class AuxiliaryHead(AuxiliaryClassifier):
    """A second classifier in the middle of a network, whose weighted loss is added while the network is trained.

    ReLU, mean over 5x5 pixels, 1x1 convolution to 128 channels, 2x2 to 768, batch norm and ReLU after both, linear
    layer. If the map is larger than in the papers (8 pixels a side on CIFAR, 7 on ImageNet), the mean over the
    remaining pixels is taken before the linear layer.

    Args:
        width: Channels of the feature map it reads.
        n_classes: Number of classes.
        weight: Factor of its loss.
        pool_stride: Stride of the pooling: 3 for CIFAR, 2 for ImageNet.
        has_last_norm: Whether the second convolution has a batch norm; the released head for ImageNet has none.
    """

    def __init__(
        self, width: int, n_classes: int, *, weight: float, pool_stride: int = 3, has_last_norm: bool = True
    ) -> None:
        layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, pool_stride, count_include_pad=False),
            nn.Conv2d(width, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, 2, bias=False),
            *([nn.BatchNorm2d(768)] if has_last_norm else []),
            nn.ReLU(inplace=True),
            GlobalAvgPool2d(),
            nn.Linear(768, n_classes),
        )
        super().__init__(layers, weight=weight)
