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
    """In training, sets some examples to zero and divides the others by the probability of being kept.

    Args:
        rate: Probability that an example is dropped at the end of training; it grows linearly from 0 with the steps.

    Attributes:
        progress: Share of the training's steps that are done, in [0, 1]; the training sets it, 1 until then.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.progress = rate, 1.0

    @property
    def keep(self) -> float:
        """Probability that an example is kept now."""
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

    It follows the layers of a chain, so that the weights have the same names with and without it.
    """
    if not rate:
        return op
    layers = op.children() if isinstance(op, nn.Sequential) else [op]
    return nn.Sequential(*layers, DropPath(rate))


class DropPathSchedule:
    """The drop paths of one network; found once, so that a network without any costs no time.

    Args:
        network: The network in training.
    """

    def __init__(self, network: nn.Module) -> None:
        self._parts = [part for part in network.modules() if isinstance(part, DropPath)]

    def set_progress(self, progress: float) -> None:
        """Tell every drop path which share of the training's steps is done, in [0, 1]."""
        for part in self._parts:
            part.progress = progress
