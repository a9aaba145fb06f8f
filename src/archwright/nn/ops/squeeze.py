"""Squeeze-and-excitation (Hu et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from archwright.nn.elastic import Conv2d
from archwright.nn.layout import keep_layout
from archwright.nn.sizes import Size
from archwright.nn.source import source_template


@source_template('''
    class SqueezeExcite(nn.Module):
        """Scales each channel by a number between 0 and 1, computed from the means of all channels."""

        def __init__(self, reduce: nn.Module, activation: nn.Module, restore: nn.Module, gate: nn.Module) -> None:
            super().__init__()
            self.reduce, self.activation, self.restore, self.gate = reduce, activation, restore, gate

        def forward(self, x: Tensor) -> Tensor:
            means = x.mean((2, 3), keepdim=True)
            return x * self.gate(self.restore(self.activation(self.reduce(means))))
''')
class SqueezeExcite(nn.Module):
    """Scales each channel by a number computed from the means of all channels: (N, C, H, W) → the same.

    Every size may be a decision.

    Args:
        channels: Channels of input and output.
        reduced: Channels between the two layers.
        activation: Makes the activation between the two layers.
        gate: Makes the activation after them, which gives the scale.
    """

    def __init__(
        self,
        channels: Size,
        reduced: Size,
        *,
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.reduce = Conv2d(channels, reduced, 1)
        self.activation = activation()
        self.restore = Conv2d(reduced, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        means = keep_layout(x).mean((2, 3), keepdim=True)
        scales: Tensor = self.gate(self.restore(self.activation(self.reduce(means))))
        return x * scales
