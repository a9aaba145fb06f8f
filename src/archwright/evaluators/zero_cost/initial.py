"""Networks with the weights a score wants, and how they run without batch norms or with all weights positive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Weighted = nn.Conv2d | nn.Linear
"""Layers whose weights are scored."""


def weighted(network: nn.Module) -> list[Weighted]:
    """The convolutions and linear layers, in the order of the network.

    Args:
        network: A stand-alone network.
    """
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@torch.no_grad()
def he_normal(network: nn.Module, generator: torch.Generator) -> None:
    """He's initialisation by the number of inputs, biases 0, batch norms without effect (He et al., ICCV 2015).

    Args:
        network: Changed in place.
        generator: Draws the weights.
    """
    for layer in weighted(network):
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu", generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    _reset_norms(network)


@torch.no_grad()
def standard_normal(network: nn.Module, generator: torch.Generator) -> None:
    """Weights from a standard normal distribution, biases 0, batch norms without effect (Zen-NAS, Alg. 1).

    Args:
        network: Changed in place.
        generator: Draws the weights.
    """
    for layer in weighted(network):
        nn.init.normal_(layer.weight, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    _reset_norms(network)


def _reset_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            if module.affine:
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)


@contextmanager
def without_norms(network: nn.Module) -> Iterator[None]:
    """Within it batch norms hand their input on.

    Args:
        network: As before afterwards.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]

    def hand_on(_module: nn.Module, given: tuple[Tensor, ...], _out: Any) -> Tensor:
        return given[0]

    handles = [module.register_forward_hook(hand_on) for module in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def positive(network: nn.Module) -> Iterator[None]:
    """Within it every parameter is its absolute value.

    Args:
        network: As before afterwards.
    """
    parameters = list(network.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
