"""Initial weights and batch norm settings that families of networks share."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def draw_fan_out(network: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / fan-out), where fan-out is kernel height x width x filters a group.

    Biases begin at 0 and batch norms as torch makes them. Nothing happens on the meta device, where there is nothing
    to fill in.
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d) and not part.weight.is_meta:
            fan_out = math.prod(part.kernel_size) * part.out_channels // part.groups
            nn.init.normal_(part.weight, 0.0, math.sqrt(2.0 / fan_out))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def set_norms(network: nn.Module, *, eps: float, momentum: float) -> None:
    """Give every batch norm the same epsilon and momentum.

    Args:
        network: The network to change in place.
        eps: Number added to the variance.
        momentum: Weight in [0, 1] of the new batch in the running statistics, which is torch's meaning of the word.
    """
    for part in network.modules():
        if isinstance(part, _BatchNorm):
            part.eps, part.momentum = eps, momentum
