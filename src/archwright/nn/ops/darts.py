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
    """ReLU, 1x1 convolution, batch norm: how a cell brings what it reads to its width."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out, affine=affine))


def sep_conv(width: int, kernel: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """Two depth-wise separable convolutions: twice ReLU, depth-wise, point-wise, batch norm; the first one strides."""
    return nn.Sequential(
        *_separable(width, kernel, stride=stride, affine=affine), *_separable(width, kernel, affine=affine)
    )


def dil_conv(width: int, kernel: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """One depth-wise separable convolution whose filter reads every second pixel: it covers 2 * kernel - 1."""
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
    """Largest of 3x3 pixels; behind it a batch norm where batch norms are not affine, as while searching."""
    return nn.Sequential(nn.MaxPool2d(3, stride, 1), *_norm_while_searching(width, affine))


def avg_pool(width: int, *, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """Mean of those of 3x3 pixels that belong to the image; batch norm as in `max_pool`."""
    pool = LocalAvgPool2d(3) if stride == 1 else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.Sequential(pool, *_norm_while_searching(width, affine))


def _norm_while_searching(width: int, affine: bool) -> list[nn.Module]:
    return [] if affine else [nn.BatchNorm2d(width, affine=False)]


def skip_connect(width: int, *, stride: int = 1, affine: bool = True) -> nn.Module:
    """The state itself; at stride 2 `factorized_reduce`."""
    return nn.Identity() if stride == 1 else factorized_reduce(width, width, affine=affine)


def dropping(op: nn.Module, rate: float) -> nn.Module:
    """The operation with a `DropPath` behind it, its layers named as before; an identity is never dropped."""
    if rate == 0 or not isinstance(op, nn.Sequential):
        return op
    return op.append(DropPath(rate))


def none(stride: int = 1) -> nn.Module:
    """No edge: zeros."""
    return Zero() if stride == 1 else StridedZero(stride)


def factorized_reduce(n_in: int, n_out: int, *, affine: bool = True) -> nn.Sequential:
    """ReLU, two 1x1 convolutions of stride 2 that read different pixels, batch norm: half the image, n_out channels."""
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

    Each makes half of the output channels. Of an odd side, which the released code refuses, the last pixel has no
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


@source_template()
class StridedZero(nn.Module):
    """Zeros in the shape of every n-th pixel of the input: `none` where an edge strides.

    Args:
        stride: n.
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

    ReLU, mean over 5x5 pixels, 1x1 convolution to 128 channels, 2x2 to 768, batch norm and ReLU behind both, linear
    layer. Of maps larger than in the papers (8 pixels a side on CIFAR, 7 on ImageNet) the mean of what is left counts.

    Args:
        width: Channels of the map.
        n_classes: Outputs.
        weight: Of its loss.
        pool_stride: 3 for CIFAR, 2 for ImageNet.
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
