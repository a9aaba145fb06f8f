"""A second classifier in the middle of a network, which helps to train it and is removed afterwards."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archwright.nn.added_losses import LossOf

SMALLEST_MAP = 5
"""Side in pixels of the smallest feature map that the head's pooling accepts."""


class AuxiliaryClassifier(nn.Module):
    """A classifier whose weighted loss is added to the network's loss in training.

    Args:
        layers: Layers from a feature map in the middle of the network to logits.
        weight: Factor of its loss.
    """

    is_training_only = True

    def __init__(self, layers: nn.Sequential, *, weight: float) -> None:
        super().__init__()
        self.weight, self.layers = weight, layers
        self._logits: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        self._logits = logits
        return logits

    def added_loss(self, loss_of: LossOf) -> Tensor | None:
        """Its weighted loss in the last pass; None if it did not run, or if the loss was asked for before."""
        logits, self._logits = self._logits, None
        return None if logits is None else self.weight * loss_of(logits)

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which have no part in the last batch."""
        return {**vars(self), "_logits": None}


class AuxiliaryHead(AuxiliaryClassifier):
    """The auxiliary classifier of NASNet (released code).

    ReLU, mean over 5 x 5 pixels at stride 3, a 1x1 convolution to 128 channels, a convolution over the whole map to
    768, linear layer; batch norm and ReLU follow both convolutions.

    Args:
        n_in: Channels of the feature map it reads.
        sides: Height and width of that map, at least `SMALLEST_MAP`.
        n_classes: Number of classes.
        weight: Factor of its loss.
    """

    def __init__(self, n_in: int, sides: tuple[int, int], n_classes: int, *, weight: float) -> None:
        height, width = ((side - SMALLEST_MAP) // 3 + 1 for side in sides)
        layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(SMALLEST_MAP, 3),
            nn.Conv2d(n_in, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, (height, width), bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(768, n_classes),
        )
        super().__init__(layers, weight=weight)
