"""The basic residual block (He et al., CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.sizes import Size
from archwright.nn.source import source_template


@source_template('''
    class ResidualBlock(nn.Module):
        """The main path added to what came in."""

        def __init__(self, main: nn.Module) -> None:
            super().__init__()
            self.main = main

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x + self.main(x))
''')
class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norms, added to what came in: (N, C, H, W) → (N, C, H, W).

    Args:
        width: Channels in and out; may be a decision.
        name: A label, shown where the network is printed.
    """

    def __init__(self, width: Size, *, name: str = "") -> None:
        super().__init__()
        self.name = name
        self.main = nn.Sequential(
            Conv2d(width, width, 3, bias=False),
            BatchNorm2d(width),
            nn.ReLU(inplace=True),
            Conv2d(width, width, 3, bias=False),
            BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.main(x))

    def extra_repr(self) -> str:
        return self.name
