"""A chain of layers, each of which reads any earlier ones (Zoph and Le, ICLR 2017, Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template


@source_template(
    '''
    class PaddedConcat(nn.Module):
        """The images at the given places of a list, zeros below and to the right, joined along their channels."""

        def __init__(self, kept: Sequence[int]) -> None:
            super().__init__()
            self.kept = list(kept)

        def forward(self, tensors: Sequence[Tensor]) -> Tensor:
            read = [tensors[i] for i in self.kept]
            height, width = max([x.shape[2] for x in read]), max([x.shape[3] for x in read])
            return torch.cat([F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2])) for x in read], dim=1)
    ''',
    arguments=lambda join: {"kept": [i for i, size in enumerate(join.sizes) if current(size) > 0]},
)
class PaddedConcat(nn.Module):
    """Joins images (N, C_i, H_i, W_i) along their channels; one of size 0 is left out.

    Smaller images get zeros below and to the right, up to the largest height and the largest width among those that
    are joined: the paper pads with zeros too, but does not say on which side.

    Args:
        sizes: Channels to take from each image: all it has, or 0.
    """

    def __init__(self, sizes: Sequence[Size]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        read = [x for x, size in zip(tensors, self.sizes, strict=True) if current(size) > 0]
        if len(read) == 1:
            return read[0]
        height, width = max(x.shape[2] for x in read), max(x.shape[3] for x in read)
        return torch.cat([_padded(x, height, width) for x in read], dim=1)


def _padded(x: Tensor, height: int, width: int) -> Tensor:
    below, right = height - x.shape[2], width - x.shape[3]
    return F.pad(x, (0, right, 0, below)) if below or right else x


@source_template(
    '''
    class SkipNetwork(nn.Module):
        """Layers that each read any earlier outputs, or the image; the outputs that are left go to the head."""

        def __init__(
            self, joins: Sequence[nn.Module], layers: Sequence[nn.Module], ends: nn.Module, head: nn.Module
        ) -> None:
            super().__init__()
            self.joins, self.layers, self.ends, self.head = nn.ModuleList(joins), nn.ModuleList(layers), ends, head

        def forward(self, x: Tensor) -> Tensor:
            outputs = [x]
            for join, layer in zip(self.joins, self.layers):
                outputs.append(layer(join(outputs)))
            return self.head(self.ends(outputs))
    ''',
    arguments=lambda network: {
        "joins": list(network.joins),
        "layers": list(network.layers),
        "ends": network.ends,
        "head": network.head,
    },
)
class SkipNetwork(nn.Module):
    """Layers that each read any earlier outputs, or the image: (N, C, H, W) → what the head gives.

    Outputs are numbered 0 for the image, then 1, 2, … for the layers.

    Args:
        joins: For each layer, makes its input from the list of all outputs before it.
        layers: The layers in order.
        ends: Makes the head's input from the list of all outputs.
        head: The classifier.
    """

    def __init__(
        self, joins: Sequence[nn.Module], layers: Sequence[nn.Module], ends: nn.Module, head: nn.Module
    ) -> None:
        super().__init__()
        self.joins, self.layers = nn.ModuleList(joins), nn.ModuleList(layers)
        self.ends, self.head = ends, head

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for join, layer in zip(self.joins, self.layers, strict=True):
            outputs.append(layer(join(outputs)))
        scores: Tensor = self.head(self.ends(outputs))
        return scores
