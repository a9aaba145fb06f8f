"""Batch-norm statistics for weights that were trained under other ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.errors import InvalidValueError
from archwright.nn.modes import eval_mode


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
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
    n_batches = 0
    with eval_mode(network.modules()), torch.inference_mode(), _averaging(norms):
        for inputs in batches:
            network(inputs)
            n_batches += 1
    if not n_batches:
        raise InvalidValueError("no batch to recalibrate batch norms with; give at least one")


@contextmanager
def _averaging(norms: list[_BatchNorm]) -> Iterator[None]:
    """Batch norms in training mode and averaging from scratch; afterwards mode and momentum are as before."""
    momenta, counts = [norm.momentum for norm in norms], [_count(norm) for norm in norms]
    before = _numbers(counts)
    # The first batch enters with factor 1 and what was there with factor 0, so nothing needs a reset but
    # statistics that are infinite or not a number.
    kept = [] if _are_finite(norms) else [[tensor.clone() for tensor in _statistics(norm)] for norm in norms]
    for norm, count in zip(norms, counts, strict=True):
        _set(norm, training=True, momentum=None)
        norm.reset_running_stats() if kept else count.zero_()
    try:
        yield
    finally:
        after = _numbers(counts)
        for i, norm in enumerate(norms):
            _set(norm, training=False, momentum=momenta[i])
            if not after[i]:  # did not run
                counts[i].fill_(before[i])
                for tensor, old in zip(_statistics(norm), kept[i] if kept else (), strict=bool(kept)):
                    tensor.copy_(old)


def _set(norm: _BatchNorm, *, training: bool, momentum: float | None) -> None:
    # Past Module.__setattr__, which looks for modules and parameters first: with hundreds of norms a candidate, and
    # hundreds of candidates, that is felt.
    vars(norm).update(training=training, momentum=momentum)


def _count(norm: _BatchNorm) -> Tensor:
    assert norm.num_batches_tracked is not None  # kept wherever running_mean is
    return norm.num_batches_tracked


def _numbers(counts: list[Tensor]) -> list[int]:
    return [int(number) for number in torch.stack(counts).tolist()] if counts else []


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _are_finite(norms: list[_BatchNorm]) -> bool:
    tensors = [tensor for norm in norms for tensor in _statistics(norm)]
    return not tensors or bool(torch.cat(tensors).isfinite().all())
