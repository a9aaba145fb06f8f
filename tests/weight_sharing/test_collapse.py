"""Watching for collapse: eigenvalues of known Hessians, shares of skip connections, and when to stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from archwright.core.errors import UnknownNameError
from archwright.policies import Categorical
from archwright.spaces import Darts
from archwright.weight_sharing import CollapseWatch, WatchConfig
from archwright.weight_sharing.collapse import largest_eigenvalue, skip_share


def test_the_largest_eigenvalue_of_a_quadratic() -> None:
    """Of a symmetric matrix, by numpy; α has its bits back."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((6, 6))
    matrix = matrix + matrix.T
    hessian, alpha = torch.from_numpy(matrix), torch.randn(6, dtype=torch.float64)
    before = alpha.clone()
    found = largest_eigenvalue(alpha, lambda: hessian @ alpha, iterations=200)
    exact = np.linalg.eigvalsh(matrix)
    assert found == pytest.approx(exact[np.abs(exact).argmax()], rel=1e-6)
    assert torch.equal(alpha, before)


def test_a_flat_loss_has_no_curvature() -> None:
    alpha = torch.zeros(4)
    assert largest_eigenvalue(alpha, lambda: torch.ones(4)) == 0.0


def with_skips(n: int) -> Categorical:
    """α of DARTS that would derive n skip connections among the 8 edges of the normal cell."""
    policy = Categorical(Darts())
    with torch.no_grad():
        k = 0
        for name, alpha in policy.alphas().items():
            source, node = int(name[-2]), int(name[-1])
            if source < 2:
                alpha[:] = torch.tensor([0.0, 0, 0, 0, 3, 0, 0, 0])
                if name.startswith("normal") and k < n:
                    alpha[3], alpha[4], k = 4.0, 0.0, k + 1
            assert node > source
    return policy


def test_the_share_of_skip_connections() -> None:
    """Three of the sixteen edges of both cells."""
    policy = with_skips(3)
    assert skip_share(policy, policy.best_row()) == 3 / 16


@pytest.mark.parametrize(("n", "stops"), [(1, False), (2, True), (5, True)])
def test_two_skip_connections_in_a_cell_stop_a_search(n: int, stops: bool) -> None:
    watch = CollapseWatch(with_skips(n), "skip")
    assert watch.look(_none)["skip_share"] == n / 16
    assert watch.is_stopped is stops


def test_it_never_stops_by_default() -> None:
    watch = CollapseWatch(with_skips(8))
    watch.look(_none)
    assert not watch.is_stopped


def test_a_growing_eigenvalue_stops_and_goes_back() -> None:
    """Curvatures 1, 1, 1, 1, then 2: means over two looks of 1 and 1.5; α is what it was two looks before."""
    policy = with_skips(0)
    watch = CollapseWatch(policy, "eigenvalue", WatchConfig(window=2, iterations=1))
    for look, curvature in enumerate([1.0, 1.0, 1.0, 1.0, 2.0]):
        with torch.no_grad():
            policy.alpha.fill_(float(look + 1))
        assert not watch.is_stopped, look
        watch.look(lambda curvature=curvature: curvature * policy.alpha.detach())  # type: ignore[misc]
    assert watch.is_stopped
    assert policy.alpha.detach().unique().tolist() == [3.0]


def test_its_state_comes_back() -> None:
    policy = with_skips(0)
    config = WatchConfig(window=2, iterations=1)
    one, other = (CollapseWatch(policy, "eigenvalue", config) for _ in range(2))
    one.look(lambda: policy.alpha.detach())
    other.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    other.load_state(one.state())
    assert other.state() == one.state()
    assert other.tensors().keys() == one.tensors().keys()


def test_an_unknown_rule() -> None:
    with pytest.raises(UnknownNameError, match="unknown stop 'skips'"):
        CollapseWatch(with_skips(0), "skips")  # type: ignore[arg-type]


def _none() -> Tensor:
    raise AssertionError("the gradient is not needed")
