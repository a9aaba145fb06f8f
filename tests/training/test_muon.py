"""Muon against singular values: the polynomial applied to each of them, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archwright.training.muon import Muon, orthogonalised


def _polynomial(s: Tensor) -> Tensor:
    return 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5


def _by_singular_values(matrix: Tensor) -> Tensor:
    """Scale to norm 1, then three times the polynomial of every singular value."""
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(3):
        s = _polynomial(s)
    return (u * s) @ v


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3), (1, 5), (64, 288)], ids=str)
def test_each_singular_value_goes_through_the_polynomial(shape: tuple[int, int]) -> None:
    matrix = _random(*shape)
    torch.testing.assert_close(
        orthogonalised(matrix[None])[0].double(), _by_singular_values(matrix), atol=1e-5, rtol=1e-4
    )


def test_singular_values_come_near_one() -> None:
    """Of a matrix whose largest is 20 times its smallest."""
    u, _, v = torch.linalg.svd(_random(16, 40), full_matrices=False)
    values = torch.linalg.svdvals(orthogonalised(((u * torch.linspace(0.05, 1, 16)) @ v)[None])[0])
    assert 0.5 < values.min() < values.max() < 1.3


def test_matrices_side_by_side_are_as_alone() -> None:
    matrices = _random(3, 8, 20)
    alone = torch.cat([orthogonalised(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalised(matrices), alone, atol=1e-6, rtol=1e-5)


def test_zeros_stay_zeros() -> None:
    """A weight whose loss does not depend on it keeps its value."""
    assert not orthogonalised(torch.zeros(1, 4, 6)).any()


def test_a_tiny_gradient_moves_as_far_as_a_large_one() -> None:
    """Twelve orders of magnitude apart; the norm it is divided by is 1e-7 too large at most."""
    matrix = _random(8, 20)
    torch.testing.assert_close(orthogonalised(matrix[None] * 1e4), orthogonalised(matrix[None]), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(6, 2, 3, 3), (12, 2, 1, 1), (4, 8)], ids=str)
def test_two_steps_by_hand(shape: tuple[int, ...], nesterov: bool) -> None:
    """Momentum 0.9, rate 0.1, decay 0.5: w - 0.1 * 0.5 w - 0.1 sqrt(max(1, rows / columns)) * direction."""
    weight = nn.Parameter(_random(*shape))
    optimizer = Muon([weight], lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.5)
    expected, kept = weight.detach().double(), torch.zeros(shape, dtype=torch.float64)
    for step in range(2):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(step + 1))
        weight.grad = gradient.clone()
        optimizer.step()
        kept = 0.9 * kept + gradient
        matrix = (gradient + 0.9 * kept if nesterov else kept).flatten(1)
        scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        expected = expected * 0.95 - 0.1 * scale * _by_singular_values(matrix).view(shape)
    torch.testing.assert_close(weight.detach().double(), expected, atol=1e-5, rtol=1e-4)


def test_it_agrees_with_torch_on_matrices() -> None:
    """torch.optim.Muon, from 2.9 on, in bfloat16: directions agree to its precision."""
    theirs = getattr(torch.optim, "Muon", None)
    if theirs is None:
        pytest.skip("torch.optim.Muon is there from torch 2.9 on")
    moved = []
    for make in (Muon, lambda *args, **settings: theirs(*args, ns_steps=3, **settings)):
        weight = nn.Parameter(_random(24, 8))
        optimizer = make([weight], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)
        weight.grad = _random(24, 8).flip(0)
        optimizer.step()
        moved.append(weight.detach() - _random(24, 8))
    ours, reference = (change.flatten() for change in moved)
    assert torch.cosine_similarity(ours, reference, dim=0) > 0.999
    assert ours.norm() / reference.norm() == pytest.approx(1, abs=0.02)
