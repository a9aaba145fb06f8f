"""Edges that leave a state run together: the numbers are those of the plain sums, which run all else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.nn import selection_of
from archwright.nn.choice import mixed
from archwright.nn.choice.mixed import form_of
from archwright.nn.ops import cell, two_inputs
from archwright.nn.ops import darts as ops
from archwright.policies import Categorical, GumbelSoftmax, PathDropout, Shrinking
from archwright.spaces import Darts, NasBench201, Snas, Space
from archwright.training.networks import build_seeded

SMALL: dict[str, Any] = {"input_shape": (3, 12, 12), "n_classes": 4, "channels": 4, "cells": 3}


def ran(
    space: Space, weights: Any, *, together: bool, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, dict[str, Tensor | None], dict[str, Tensor]]:
    """Output, gradients and buffers of a training pass of a supernet."""
    with monkeypatch.context() as patched:
        if not together:
            for module in (two_inputs, cell):
                patched.setattr(module, "is_planned", lambda x: False)
        network = build_seeded(space, None, 0).to(dtype).train()
        generator = torch.Generator().manual_seed(1)
        for parameter in network.parameters():
            if parameter.dim() == 1:  # affine parameters that are no special case
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
        selection_of(network).relax(weights)
        x = torch.randn(4, *space.input_shape, dtype=dtype, generator=generator)
        out = network(x)
        torch.autograd.backward(out.square().sum())
        return out, {name: p.grad for name, p in network.named_parameters()}, dict(network.named_buffers())


def check(space: Space, policy: Categorical, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, gradients of weights and of α, and running statistics agree to 1e-10."""
    found = []
    for together in (False, True):
        policy.zero_grad()
        weights = policy.mixture(np.random.default_rng(0), 0.5)
        results = ran(space, weights, together=together, monkeypatch=monkeypatch)
        assert policy.alpha.grad is not None
        found.append((*results, policy.alpha.grad.clone()))
    one, other = found
    assert torch.allclose(one[0], other[0], atol=1e-10)
    for name in one[1]:
        first, second = one[1][name], other[1][name]
        assert (first is None) == (second is None), name
        assert first is None or (second is not None and torch.allclose(first, second, atol=1e-10)), name
    assert all(torch.allclose(one[2][name], other[2][name], atol=1e-10) for name in one[2])
    assert torch.allclose(one[3], other[3], atol=1e-10)
    assert bool(one[3].any())


@pytest.mark.parametrize("space", [Darts(**SMALL, affine=False), Snas(**SMALL, affine=False), Darts(**SMALL)])
def test_the_numbers_are_those_of_plain_sums(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """DARTS's two cells with the norms of a search, SNAS's with `none` as a value, and norms with scale and shift."""
    check(space, Categorical(space, spread=1.0).double(), monkeypatch)


@pytest.mark.parametrize("affine", [False, True])
def test_cells_of_all_pairs(affine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAS-Bench-201's: dense convolutions, with a bias where norms have none, and `none` as a value."""
    space = NasBench201(input_shape=(3, 8, 8), n_classes=4, channels=4, cells=1, affine=affine)
    check(space, Categorical(space, spread=1.0).double(), monkeypatch)


def test_odd_images(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Darts(**{**SMALL, "input_shape": (1, 11, 9)}, affine=False)
    check(space, Categorical(space, spread=1.0).double(), monkeypatch)


def test_values_that_are_out_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Darts(**SMALL, affine=False)
    policy = Shrinking(space, stages=(8, 3), spread=1.0).double()
    policy.begin_step(0.6)
    check(space, policy, monkeypatch)


def test_sampled_values_that_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAS, where an edge may have no value but `none`."""
    space = Darts(**SMALL, affine=False)
    check(space, GumbelSoftmax(space, hard=True, spread=1.0).double(), monkeypatch)


def test_dropped_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain weights of 1."""
    space = Snas(**SMALL, affine=False)
    weights = PathDropout(space, 0.5).paths(np.random.default_rng(0), 1.0)
    one = ran(space, weights, together=False, monkeypatch=monkeypatch)
    other = ran(space, weights, together=True, monkeypatch=monkeypatch)
    assert torch.allclose(one[0], other[0], atol=1e-10)
    grads = [(a, other[1][name]) for name, a in one[1].items() if a is not None]
    assert all(b is not None and torch.allclose(a, b, atol=1e-10) for a, b in grads)


def test_float32_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-5, in channels-last layout too."""
    space = Darts(**SMALL, affine=False)
    weights = Categorical(space, spread=1.0).mixture(np.random.default_rng(0))
    with torch.no_grad():
        weights = {name: [(i, w.detach()) for i, w in each] for name, each in weights.items()}  # type: ignore[union-attr]
    one, other = (
        ran(space, weights, together=together, monkeypatch=monkeypatch, dtype=torch.float32)[0]
        for together in (False, True)
    )
    assert torch.allclose(one, other, atol=1e-5)


def test_a_single_path_is_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only mixtures are."""
    space = Darts(**SMALL)
    network = build_seeded(space, None, 0).train()
    selection_of(network).activate_row(space.decisions.sample(1, np.random.default_rng(0))[0])
    monkeypatch.setattr(mixed.MixedStates, "add", None)
    network(torch.randn(2, *space.input_shape))


def test_forms() -> None:
    """What is known, and what runs by itself: a halving with two convolutions, a dropped path, foreign modules."""
    known = [ops.sep_conv(4, 3), ops.dil_conv(4, 5, stride=2), ops.max_pool(4, affine=False), ops.avg_pool(4)]
    assert all(form_of(op) is not None for op in known)
    assert form_of(ops.sep_conv(4, 3)) == form_of(ops.sep_conv(4, 3)) != form_of(ops.sep_conv(4, 5))
    unknown = [ops.factorized_reduce(4, 4), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1)), nn.Tanh()]
    assert all(form_of(op) is None for op in unknown)
