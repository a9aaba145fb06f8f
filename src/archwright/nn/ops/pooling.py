"""Pooling."""

from __future__ import annotations

from torch import Tensor, nn

from archwright.nn.layout import keep_layout
from archwright.nn.source import source_template


@source_template('''
    class GlobalAvgPool2d(nn.Module):
        """Mean over the image: (N, C, H, W) → (N, C)."""

        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))
''')
class GlobalAvgPool2d(nn.Module):
    """Mean over the image: (N, C, H, W) → (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return keep_layout(x).mean((2, 3))
