"""Recalibration of batch-norm statistics, for weights that were trained with other statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.errors import InvalidValueError
from archwright.nn.choice.modules import active_modules
from archwright.nn.inputs import Inputs, call


def recalibrate(network: nn.Module, batches: Iterable[Inputs]) -> None:
    """Set running statistics of batch norms to the plain mean over the given batches.

    One forward-only pass: no loss, no optimizer, no learnable parameter changes (SPOS, Guo et al., 2019: the
    statistics a path gathered while paths alternated do not fit it). Only batch norms normalise by the batch; all
    other modules are in evaluation mode, so dropout is off. Each batch counts the same, whatever its size, and what
    the statistics were before does not matter. Batch norms that do not run (inactive paths) or keep no statistics
    stay as they are. Afterwards `num_batches_tracked` is the number of batches seen.

    Deviation from the released SPOS code: a cumulative mean instead of an exponential one with momentum 0.1.

    Args:
        network: A network with the path active that is to be recalibrated.
        batches: Inputs on the network's device, e.g. (B, C, H, W), of the training part.

    Raises:
        InvalidValueError: If there is no batch.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    kept = [[buffer.clone() for buffer in norm.buffers()] for norm in norms]
    n_batches = 0
    with averaging_mode(network, norms), torch.inference_mode():
        start_averaging(network)
        try:
            for inputs in batches:
                call(network, inputs)
                n_batches += 1
        finally:
            for norm, before in zip(norms, kept, strict=True):
                if not norm.num_batches_tracked:  # did not run
                    for buffer, old in zip(norm.buffers(), before, strict=True):
                        buffer.copy_(old)
    if not n_batches:
        raise InvalidValueError("no batch to recalibrate batch norms with; give at least one")


@contextmanager
def averaging_mode(network: nn.Module, norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Evaluation mode, in which its batch norms average cumulatively once started; modes and momenta are restored.

    Args:
        network: The network.
        norms: All its batch norms.
    """
    training = [module for module in network.modules() if module.training]
    was_training = {id(module) for module in training}
    momenta = [norm.momentum for norm in norms]
    for module in training:
        module.training = False
    for norm in norms:
        norm.momentum = None
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.training = id(norm) in was_training


def start_averaging(stage: nn.Module) -> None:
    """Statistics of the active batch norms start afresh: the first batch enters a cumulative mean with factor 1."""
    for _, module in active_modules(stage):
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.training = True


def stop_averaging(stage: nn.Module) -> None:
    """From now on the active batch norms use the statistics they have."""
    for _, module in active_modules(stage):
        if isinstance(module, _BatchNorm):
            module.training = False
