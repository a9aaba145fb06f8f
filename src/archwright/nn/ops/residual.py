"""Residual blocks (He et al., CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.ops.edges import is_zero, relu_conv_bn
from archwright.nn.sizes import Size, current
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
    """Two 3x3 convolutions with batch norms, added to the input: (N, C, H, W) → (N, C, H, W).

    Args:
        width: Channels of input and output; may be a decision.
        name: A label that the printed network shows.
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


@source_template('''
    class DownsamplingBlock(nn.Module):
        """The sum of a main path and a shortcut."""

        def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
            super().__init__()
            self.main, self.shortcut = main, shortcut

        def forward(self, x: Tensor) -> Tensor:
            return self.main(x) + self.shortcut(x)
''')
class DownsamplingBlock(nn.Module):
    """A residual block that halves the image: (N, C, H, W) → (N, C', ⌈H/2⌉, ⌈W/2⌉), as between NAS-Bench-201's stages.

    ReLU comes before each convolution and nothing after the sum; the shortcut is an average over 2 x 2 pixels
    and a 1x1 convolution. Odd sides are rounded up in both branches; the released code fails for them.

    Args:
        n_in: Input channels; may be a decision, as `n_out`.
        n_out: Output channels.
    """

    def __init__(self, n_in: Size, n_out: Size) -> None:
        super().__init__()
        self.main = nn.Sequential(relu_conv_bn(n_in, n_out, 3, stride=2), relu_conv_bn(n_out, n_out, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), Conv2d(n_in, n_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        main: Tensor = self.main(x)
        shortcut: Tensor = self.shortcut(x)
        return main + shortcut


@source_template(
    '''
    class Residual(nn.Module):
        """The main path, added to the shortcut where there is one."""

        def __init__(self, main: nn.Module, shortcut: nn.Module | None = None) -> None:
            super().__init__()
            self.main = main
            if shortcut is not None:
                self.shortcut = shortcut

        def forward(self, x: Tensor) -> Tensor:
            return self.main(x) + self.shortcut(x) if hasattr(self, "shortcut") else self.main(x)
    ''',
    arguments=lambda block: {"main": block.main} | ({"shortcut": block.shortcut} if block.is_joined else {}),
)
class Residual(nn.Module):
    """The sum of a main path and a shortcut; the main path alone if the shape changes or the shortcut is `Zero`.

    Args:
        main: The main path.
        shortcut: The module beside it; None adds no shortcut.
        sizes: Input and output channels, if the shape depends on them; where they differ, there is no shortcut.
    """

    def __init__(
        self, main: nn.Module, shortcut: nn.Module | None = None, *, sizes: tuple[Size, Size] | None = None
    ) -> None:
        super().__init__()
        self.main, self.shortcut, self.sizes = main, shortcut, sizes

    @property
    def is_joined(self) -> bool:
        """Whether the shortcut is added now."""
        if self.shortcut is None:
            return False
        keeps_shape = self.sizes is None or current(self.sizes[0]) == current(self.sizes[1])
        return keeps_shape and not is_zero(self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x)
        return out if self.shortcut is None or not self.is_joined else self.shortcut(x) + out
