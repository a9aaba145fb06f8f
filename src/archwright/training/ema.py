"""An average of a network beside the network: a moving one, or the plain mean of a training's last part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from archwright.training.config import OptimizerConfig


class Ema:
    """Exponential moving average of parameters and floating-point buffers (running statistics).

    With update k (from 0) the average moves by 1 - min(decay, (1 + k) / (10 + k)) towards the network: the smaller
    decay of the first updates makes it forget the random start.

    Attributes:
        n: How often the network has entered.
        first_step: The first step whose outcome counts.
    """

    first_step = 0

    def __init__(self, network: nn.Module, decay: float) -> None:
        every = [*network.named_parameters(), *network.named_buffers()]
        self._live = {name: tensor.detach() for name, tensor in every if tensor.is_floating_point()}
        self._average = {name: tensor.clone() for name, tensor in self._live.items()}
        self._decay = decay
        self.n = 0

    def update(self, step: int) -> None:
        """Move the average towards the network as it is after that step."""
        move = get_ema_multi_avg_fn(self._enter(step))  # type: ignore[no-untyped-call]
        move(list(self._average.values()), list(self._live.values()), step)

    def _enter(self, step: int) -> float:
        """Count the network of that step; what stays of the average when it enters."""
        self.n += 1
        return min(self._decay, self.n / (self.n + 9))

    @contextmanager
    def in_network(self) -> Iterator[None]:
        """Inside, the network has the averaged values; afterwards its own, to the bit."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        self.copy_to_network()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in self._live.items():
                    tensor.copy_(own[name])

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
    """Plain mean of the network after each update from `first_step` on, as averaged SGD ends with (Polyak and Juditsky,
    1992; torch.optim.ASGD with lambd = 0, which leaves out the first step of its own average).

    Args:
        network: The network.
        first_step: The first step whose outcome counts, from 0.
    """

    def __init__(self, network: nn.Module, first_step: int) -> None:
        super().__init__(network, decay=0.0)
        self.first_step = first_step

    def _enter(self, step: int) -> float:
        n_before = self.n
        if step >= self.first_step:
            self.n += 1
        return n_before / (n_before + 1)


def average_of(network: nn.Module, config: OptimizerConfig, n_steps: int) -> Ema | None:
    """The average a training keeps, if any.

    Args:
        network: What is averaged.
        config: Says which average.
        n_steps: Of the training.
    """
    if config.average_from is not None:
        return Mean(network, min(n_steps - 1, math.floor(config.average_from * n_steps)))
    return None if config.ema_decay is None else Ema(network, config.ema_decay)
