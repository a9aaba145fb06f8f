"""A second classifier in the middle of a network, there to train it and gone afterwards."""

from __future__ import annotations

from torch import Tensor, nn

from archwright.nn.added_losses import LossOf

SMALLEST_MAP = 5
"""Side in pixels of the smallest image its pooling takes."""


class AuxiliaryHead(nn.Module):
    """The auxiliary classifier of NASNet (released code): its loss, weighted, is added to the network's.

    ReLU, mean over 5 x 5 in steps of 3, 1x1 convolution to 128, one over the whole map to 768, linear layer; batch
    norm and ReLU behind both convolutions.

    Args:
        n_in: Channels of what it reads.
        sides: Height and width of that, at least `SMALLEST_MAP`.
        n_classes: Outputs.
        weight: Of its loss.
    """

    is_training_only = True

    def __init__(self, n_in: int, sides: tuple[int, int], n_classes: int, *, weight: float) -> None:
        super().__init__()
        height, width = ((side - SMALLEST_MAP) // 3 + 1 for side in sides)
        self.weight = weight
        self.layers = nn.Sequential(
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
        self._logits: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        self._logits = logits
        return logits

    def added_loss(self, loss_of: LossOf) -> Tensor | None:
        """Its weighted loss in the last pass; None if it did not run."""
        logits, self._logits = self._logits, None
        return None if logits is None else self.weight * loss_of(logits)
