"""A classifier in the middle of a network, whose loss helps training (Szegedy et al., CVPR 2015)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archwright.nn.added_losses import LossOf
from archwright.nn.source import source_template


@source_template('''
    class AuxiliaryHead(nn.Module):
        """A classifier that helped in training."""

        def __init__(self, head: nn.Module) -> None:
            super().__init__()
            self.head = head
''')
class AuxiliaryHead(nn.Module):
    """Classifies a feature map while the network is trained, and adds its loss; no part of what the network computes.

    It returns nothing: a network calls it on the map, in training and evaluation alike.

    Args:
        head: From the feature map to logits like those of the network.
        weight: Of its loss.
    """

    def __init__(self, head: nn.Module, weight: float) -> None:
        super().__init__()
        self.head, self.weight = head, weight
        self._logits: Tensor | None = None

    def forward(self, x: Tensor) -> None:
        self._logits = self.head(x) if self.training else None

    def added_loss(self, loss_of: LossOf) -> Tensor | None:
        """The weighted loss of the last batch in training mode; None if there was none, or it was taken already."""
        logits, self._logits = self._logits, None
        return None if logits is None else self.weight * loss_of(logits)

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which have no part in the last batch."""
        return {**vars(self), "_logits": None}

    def extra_repr(self) -> str:
        return f"weight={self.weight}"
