"""Concatenation of tensors that may be narrower, or absent, in some archs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template


@source_template(
    '''
    class Concat(nn.Module):
        """The tensors at the given places of a list, joined along their channels."""

        def __init__(self, kept: Sequence[int]) -> None:
            super().__init__()
            self.kept = list(kept)

        def forward(self, tensors: Sequence[Tensor]) -> Tensor:
            return torch.cat([tensors[i] for i in self.kept], dim=1)
    ''',
    arguments=lambda join: {"kept": [i for i, size in enumerate(join.sizes) if current(size) > 0]},
)
class Concat(nn.Module):
    """Joins tensors (N, C_i, ...) along their channels; one of size 0 is left out.

    The next layer is built with the sum of the sizes, in which every tensor keeps its place.

    Args:
        sizes: Channels to take from each tensor: all it has, or 0.
    """

    def __init__(self, sizes: Sequence[Size]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([x for x, size in zip(tensors, self.sizes, strict=True) if current(size) > 0], dim=1)
