"""Dropping whole paths of a network for single examples (Larsson et al., ICLR 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from archwright.nn.dropout import check_rate, dropout_mask
from archwright.nn.source import source_template


@source_template('''
    class DropPath(nn.Module):
        """Its input: paths are dropped in training only."""

        def forward(self, x: Tensor) -> Tensor:
            return x
''')
class DropPath(nn.Module):
    """In training, zeros for an example with the current rate, else its input over one minus the rate.

    Papers raise the rate linearly from 0: whoever trains a network tells its `progress` before each step.

    Args:
        rate: At the end of training, in [0, 1).

    Attributes:
        progress: Share of the training that is over, in [0, 1]; 1 where nobody says it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.progress = check_rate("drop_path", rate), 1.0

    def forward(self, x: Tensor) -> Tensor:
        rate = self.rate * self.progress
        if not self.training or rate == 0:
            return x
        return x * dropout_mask(x, (x.shape[0], *[1] * (x.dim() - 1)), rate)

    def extra_repr(self) -> str:
        return str(self.rate)


class DropPathSchedule:
    """Tells the `DropPath` modules of a network how far its training is; looked for once.

    Args:
        network: What is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        self._modules = [part for part in network.modules() if isinstance(part, DropPath)]

    def set(self, progress: float) -> None:
        """The share of the training that is over, in [0, 1]."""
        for module in self._modules:
            module.progress = progress
