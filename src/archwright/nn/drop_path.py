"""Scheduled drop path (Zoph et al., CVPR 2018; released code): results of operations dropped for single examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.nn.source import source_template


@source_template('''
    class DropPath(nn.Module):
        """Drops results of an operation in training; here it hands them on."""

        def forward(self, x: Tensor) -> Tensor:
            return x
''')
class DropPath(nn.Module):
    """In training, zeros instead of the result for some examples; the others are divided by the odds to be kept.

    Args:
        rate: Odds that an example is dropped at the end of the training; they grow linearly from 0 with the steps.

    Attributes:
        progress: Share of the training's steps that is over, set by who trains; 1 until then.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.progress = rate, 1.0

    @property
    def keep(self) -> float:
        """Odds that an example is kept now."""
        return 1.0 - self.rate * min(1.0, self.progress)

    def forward(self, x: Tensor) -> Tensor:
        keep = self.keep
        if not self.training or keep == 1.0:
            return x
        # rounded down after adding `keep`: 1 with these odds, for each example of its own
        kept = (torch.rand(x.shape[0], 1, 1, 1, dtype=torch.float32, device=x.device) + keep).floor_()
        return x * (kept / keep).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


def dropped(op: nn.Module, rate: float) -> nn.Module:
    """An operation with a `DropPath` behind it.

    It stands behind the layers of a chain, so that weights have the same names with and without.
    """
    if not rate:
        return op
    layers = op.children() if isinstance(op, nn.Sequential) else [op]
    return nn.Sequential(*layers, DropPath(rate))


class DropPathSchedule:
    """The drop paths of one network; looked for once, so that a network without any costs a step nothing.

    Args:
        network: What is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        self._parts = [part for part in network.modules() if isinstance(part, DropPath)]

    def set_progress(self, progress: float) -> None:
        """Tell them which share of the training's steps is over."""
        for part in self._parts:
            part.progress = progress
