"""The layers before and after the cells, shared by the topology and the size space of NAS-Bench-201."""

from __future__ import annotations

from torch import nn

from archwright.nn.elastic import BatchNorm2d, Conv2d, Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size

MIN_SIDE = 8


def stem(n_in: int, width: Size) -> nn.Sequential:
    """3x3 convolution and batch norm; without ReLU, because the operations begin with one."""
    return nn.Sequential(Conv2d(n_in, width, 3, bias=False), BatchNorm2d(width))


def head(width: Size, n_classes: int) -> nn.Sequential:
    """Batch norm, ReLU, pooling, classifier: (N, width, H, W) → (N, n_classes)."""
    return nn.Sequential(BatchNorm2d(width), nn.ReLU(inplace=True), GlobalAvgPool2d(), Linear(width, n_classes))
