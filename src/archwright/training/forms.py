"""The number type and the layout in which a CPU trains a network fastest, by rule.

Recent server processors multiply tiles of bfloat16 numbers several times as fast as float32 ones (Intel's AMX).
Networks of dense convolutions gain from it: a chain of 3x3 ones of 16, 32 and 64 channels takes 0.6 of the time.
Depth-wise convolutions have no such form, and take three times as long (`benchmarks/bench_precision.py`).
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.training.config import Precision
from archwright.training.device import compute_dtype, takes_channels_last

LANES, MOST = 16, 0.75
"""Numbers in a register: channels-last convolutions of widths that are no multiples of it fill some registers in part,
and take up to twice as long as in the contiguous layout, which the library pads. Where most convolutions fill them, the
channels-last layout is the faster one."""


class Form(NamedTuple):
    """How a training computes.

    Attributes:
        dtype: Number type of convolutions and products in forward passes.
        channels_last: Layout of images and convolution weights.
    """

    dtype: torch.dtype
    channels_last: bool


def form_of(network: nn.Module, precision: Precision, channels_last: bool, device: torch.device) -> Form:
    """The form of a training: as it is set, or with "auto" on a CPU, the fastest one by rule.

    That is bfloat16 where the processor has tiles for it, all layers with weights are dense 2-D convolutions, batch
    norms and linear layers, and there is a convolution. It depends on network and machine alone.

    Args:
        network: All that is trained.
        precision: As in `TrainingConfig`.
        channels_last: Likewise; where the rule takes bfloat16, it may take the contiguous layout too, as it does where
            the network does not take the other one.
        device: Where.
    """
    channels_last = channels_last and takes_channels_last(network)
    if precision != "auto" or device.type != "cpu" or not (has_tiles() and _is_dense(network)):
        return Form(compute_dtype(precision, device), channels_last)
    return Form(torch.bfloat16, channels_last and _fills_registers(network))


def has_tiles() -> bool:
    """Whether torch multiplies tiles of bfloat16 numbers (Intel's AMX) on this processor.

    The environment variable ONEDNN_MAX_CPU_ISA of torch's library for convolutions can forbid them.
    """
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    if "AMX" not in most and most not in ("ALL", "DEFAULT"):
        return False
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)  # torch has no public word for it
    return bool(asked is not None and asked())


def _is_dense(network: nn.Module) -> bool:
    weighted = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    return any(_is_dense_convolution(module) for module in weighted) and all(
        _is_dense_convolution(module) or isinstance(module, _BatchNorm | nn.Linear) for module in weighted
    )


def _is_dense_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == 1


def _fills_registers(network: nn.Module) -> bool:
    full = [module.out_channels % LANES == 0 for module in network.modules() if isinstance(module, nn.Conv2d)]
    return sum(full) >= MOST * len(full)
