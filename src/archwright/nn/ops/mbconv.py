"""The inverted residual block of MobileNetV2 (Sandler et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.sizes import Size
from archwright.nn.source import source_template


@source_template('''
    class MBConv(nn.Module):
        """Inverted residual block: the main path, with a shortcut where the shape stays the same."""

        def __init__(self, main: nn.Module, has_shortcut: bool = False) -> None:
            super().__init__()
            self.main, self.has_shortcut = main, has_shortcut

        def forward(self, x: Tensor) -> Tensor:
            return x + self.main(x) if self.has_shortcut else self.main(x)
''')
class MBConv(nn.Module):
    """Widens, filters each channel, narrows; with a shortcut where the shape stays the same.

    Every size may be a decision.

    Args:
        n_in: Input channels.
        n_out: Output channels; the very value of `n_in` gives the shortcut at stride 1.
        kernel: Odd side of the depth-wise kernel.
        expand: The middle has `n_in * expand` channels.
        stride: 1 or 2.
        activation: Made twice.
    """

    def __init__(
        self,
        n_in: Size,
        n_out: Size,
        *,
        kernel: Size,
        expand: Size,
        stride: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU6,
    ) -> None:
        super().__init__()
        middle = n_in * expand
        self.has_shortcut = stride == 1 and (n_in is n_out or (isinstance(n_in, int) and n_in == n_out))
        self.main = nn.Sequential(
            Conv2d(n_in, middle, 1, bias=False),
            BatchNorm2d(middle),
            activation(),
            Conv2d(middle, middle, kernel, stride=stride, groups=middle, bias=False),
            BatchNorm2d(middle),
            activation(),
            Conv2d(middle, n_out, 1, bias=False),
            BatchNorm2d(n_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x)
        return x + out if self.has_shortcut else out
