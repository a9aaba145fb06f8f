"""Batch-norm recalibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.training.recalibrate import recalibrate

Build = Callable[[int], Any]


def _batches(sizes: tuple[int, ...] = (8, 8, 4)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, 6, 6, generator=generator) * 2 + 1 for n in sizes]


def _norms(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _spoil(network: nn.Module, value: float) -> None:
    for norm in _norms(network).values():
        norm.running_mean.fill_(value)  # type: ignore[union-attr]
        norm.running_var.fill_(abs(value))  # type: ignore[union-attr]
        norm.num_batches_tracked.fill_(41)  # type: ignore[union-attr]


def test_statistics_are_means_over_batches() -> None:
    """Mean and unbiased variance a channel, averaged over batches with equal weight, from numpy-like sums."""
    network, batches = nn.BatchNorm2d(3), _batches()
    recalibrate(network, batches)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    var = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(network.running_mean, mean)
    torch.testing.assert_close(network.running_var, var)
    assert int(network.num_batches_tracked) == 3  # type: ignore[arg-type]


def test_equals_one_cumulative_training_pass(two_paths: Build) -> None:
    """Torch's own cumulative averaging from reset statistics, in training mode but for the dropout."""
    ours, theirs = two_paths(0), two_paths(0)
    _spoil(ours, 3.0)
    recalibrate(ours, _batches())
    theirs.train()
    theirs.dropout.eval()
    for norm in _norms(theirs).values():
        norm.reset_running_stats()
        norm.momentum = None  # type: ignore[assignment]
    with torch.no_grad():
        for batch in _batches():
            theirs(batch)
    for name, tensor in _state(theirs.stem).items():
        torch.testing.assert_close(_state(ours.stem)[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("value", [0.0, 1e6, math.inf, math.nan])
def test_result_is_independent_of_what_was_there(two_paths: Build, value: float) -> None:
    """Large, infinite and missing numbers leave no trace."""
    fresh, spoilt = two_paths(0), two_paths(0)
    _spoil(spoilt, value)
    for network in (fresh, spoilt):
        recalibrate(network, _batches())
    active = {name for name in _norms(fresh) if not name.startswith("paths.1")}
    for name in active:
        for key, tensor in _norms(fresh)[name].state_dict().items():
            assert torch.equal(_norms(spoilt)[name].state_dict()[key], tensor)


@pytest.mark.parametrize("value", [5.0, math.nan])
def test_inactive_path_keeps_its_statistics(two_paths: Build, value: float) -> None:
    """Values and batch counts of norms that did not run."""
    network = two_paths(0)
    _spoil(network, value)
    recalibrate(network, _batches())
    for name, norm in _norms(network).items():
        idle = name.startswith("paths.1")
        assert int(norm.num_batches_tracked) == (41 if idle else 3)  # type: ignore[arg-type]
        kept = torch.full((8,), value)
        assert torch.equal(norm.running_mean.nan_to_num(), kept.nan_to_num()) == idle  # type: ignore[union-attr]


def test_learnable_parameters_keep_every_bit(two_paths: Build) -> None:
    """And none has a gradient afterwards."""
    network = two_paths(0)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    recalibrate(network, _batches())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter.detach(), before[name])
        assert parameter.grad is None


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_momentum_are_restored(two_paths: Build, training: bool) -> None:
    """Also those of modules whose mode is not that of the network."""
    network = two_paths(0).train(training)
    network.stem[1].train(not training)
    network.stem[1].momentum = 0.3
    modes = [module.training for module in network.modules()]
    recalibrate(network, _batches())
    assert [module.training for module in network.modules()] == modes
    assert network.stem[1].momentum == 0.3


def test_dropout_is_off() -> None:
    """A norm behind dropout sees all activations: the mean stays that of the input."""
    network = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3))
    recalibrate(network, [torch.ones(4, 3, 2, 2)])
    torch.testing.assert_close(network[1].running_mean, torch.ones(3))


def test_network_can_train_afterwards(two_paths: Build) -> None:
    """Nothing of inference mode sticks to it."""
    network = two_paths(0).train()
    recalibrate(network, _batches())
    network(_batches()[0]).sum().backward()
    assert network.head.weight.grad is not None


def test_restored_after_a_failure() -> None:
    """A batch the network cannot take leaves modes and momentum as they were."""
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    with pytest.raises((RuntimeError, ValueError)):
        recalibrate(network, [torch.ones(4, 2, 2, 2)])
    assert all(module.training for module in network.modules())
    assert network[0].momentum == 0.1


def test_no_batch_is_refused(two_paths: Build) -> None:
    """Statistics would stay wrong without a word; they do stay as they were."""
    network = two_paths(0)
    before = _state(network)
    with pytest.raises(InvalidValueError, match="no batch"):
        recalibrate(network, [])
    assert all(torch.equal(tensor, before[name]) for name, tensor in _state(network).items())


def test_network_without_batch_norm() -> None:
    """Nothing to do, no error."""
    network = nn.Conv2d(3, 3, 1)
    before = _state(network)
    recalibrate(network, _batches())
    assert all(torch.equal(tensor, before[name]) for name, tensor in _state(network).items())
