"""Resize images inside the network, so that their resolution can be a decision like any other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template


@source_template(
    '''
    class Resize2d(nn.Module):
        """Images (N, C, H, W) at another height and width."""

        def __init__(self, height: int, width: int) -> None:
            super().__init__()
            self.height, self.width = height, width

        def forward(self, x: Tensor) -> Tensor:
            if x.shape[2:] == (self.height, self.width):
                return x
            return F.interpolate(x, (self.height, self.width), mode="bilinear", antialias=True)
    ''',
    arguments=lambda resize: {"height": current(resize.height), "width": current(resize.width)},
)
class Resize2d(nn.Module):
    """Images (N, C, H, W) → (N, C, height, width), bilinear with antialiasing; unchanged if they have that size.

    Args:
        height: New height in pixels; may be a decision.
        width: New width in pixels; may be a decision.
    """

    def __init__(self, height: Size, width: Size) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        size = (current(self.height), current(self.width))
        return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", antialias=True)

    def extra_repr(self) -> str:
        return f"{current(self.height)}, {current(self.width)}" if isinstance(self.height, int) else "searched"
