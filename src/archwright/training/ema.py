"""A moving average of a network beside the network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


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

    def update(self, step: int) -> None:
        """Move the average towards the network as it is after that step."""
        decay = min(self._decay, (1 + step) / (10 + step))
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
