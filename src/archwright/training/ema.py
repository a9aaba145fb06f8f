"""An average of a network beside the network: a moving one, or the plain mean of a training's last part."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from archwright.training.config import TrainingConfig


class Ema:
    """Exponential moving average of parameters and floating-point buffers (running statistics).

    After step k (from 0) the average moves by 1 - min(decay, (1 + k) / (10 + k)) towards the network: the smaller
    decay of the first steps makes it forget the random start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        every = [*network.named_parameters(), *network.named_buffers()]
        self._live = {name: tensor.detach() for name, tensor in every if tensor.is_floating_point()}
        self._average = {name: tensor.clone() for name, tensor in self._live.items()}
        self._decay = decay

    def _decay_at(self, step: int) -> float:
        """What stays of the average when the network of that step enters."""
        return min(self._decay, (1 + step) / (10 + step))

    def update(self, step: int) -> None:
        """Move the average towards the network as it is after that step."""
        decay = self._decay_at(step)
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move(list(self._average.values()), list(self._live.values()), step)

    @torch.no_grad()
    def copy_to_network(self) -> None:
        """Give the network the averaged values."""
        for name, tensor in self._live.items():
            tensor.copy_(self._average[name])

    def tensors(self) -> dict[str, Tensor]:
        """The average by name, for a checkpoint; not copied."""
        return self._average

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave."""
        for name, tensor in self._average.items():
            tensor.copy_(tensors[name])


class Mean(Ema):
    """Plain mean of the network after each step from `first_step` on, as averaged SGD ends with (Polyak and Juditsky,
    1992; torch.optim.ASGD with lambd = 0, which leaves out the first step of its own average).

    Args:
        network: The network.
        first_step: The first step whose outcome counts, from 0.
    """

    def __init__(self, network: nn.Module, first_step: int) -> None:
        super().__init__(network, decay=0.0)
        self._first_step = first_step

    def _decay_at(self, step: int) -> float:
        n_before = max(0, step - self._first_step)
        return n_before / (n_before + 1)


def average_of(network: nn.Module, config: TrainingConfig, n_steps: int) -> Ema | None:
    """The average a training keeps, if any."""
    if config.average_from is not None:
        return Mean(network, min(n_steps - 1, math.floor(config.average_from * n_steps)))
    return None if config.ema_decay is None else Ema(network, config.ema_decay)
