"""Muon: momentum whose update has all its singular values near one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the odd polynomial a s + b s³ + c s⁵, which raises small singular values steeply and keeps large ones near 1."""

_ITERATIONS = 3


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every direction of a weight matrix moves about as far as every other.

    A weight of more than two axes counts as the matrix of its first axis by all others. Its momentum is scaled to norm
    1, and each singular value goes through a polynomial three times; the result is multiplied by the learning rate and
    by the root of rows / columns where that is more than 1. Decay is apart from the gradient, as in AdamW. Weights of
    one shape are worked out together.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024 (that page, its
    coefficients and its scale). Deviations: three iterations, not five; in the precision of the weights, not bfloat16.
    `torch.optim.Muon` (from torch 2.9) takes matrices alone.

    Args:
        params: Weights of two or more axes, or groups of them with their own `weight_decay`.
        lr: Learning rate.
        momentum: Decay of the sum of gradients.
        nesterov: Look one step of momentum ahead.
        weight_decay: Share of a weight that a step at rate 1 takes away.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all weights that have a gradient.

        Args:
            closure: Not taken.
        """
        assert closure is None
        for group in self.param_groups:
            for alike in _by_shape(weight for weight in group["params"] if weight.grad is not None):
                looked_ahead = [self._momentum(weight, group).flatten(1) for weight in alike]
                rows, columns = looked_ahead[0].shape
                updates = orthogonalised(torch.stack(looked_ahead))
                scale = max(1.0, rows / columns) ** 0.5
                for weight, update in zip(alike, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.view(weight.shape), alpha=-group["lr"] * scale)

    def _momentum(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """The momentum after this gradient, one step ahead where the group says so."""
        gradient = weight.grad
        assert gradient is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        kept: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return gradient.add(kept, alpha=group["momentum"]) if group["nesterov"] else kept


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices with the same singular vectors, and with singular values near 1 where they were not tiny.

    The polynomial of X Xᵀ, the smaller of both products, is worked out as a whole and multiplied by X once: a third
    of the work of three iterations on X itself.

    Args:
        matrices: (n, rows, columns).

    Returns:
        (n, rows, columns); zeros stay zeros.
    """
    a, b, c = _COEFFICIENTS
    x = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    whole = None
    for _ in range(_ITERATIONS):
        factor = torch.baddbmm(a * identity + b * gram, gram, gram, alpha=c)
        whole = factor if whole is None else factor @ whole
        gram = factor @ gram @ factor
    assert whole is not None
    done: Tensor = whole @ x
    return done if matrices.shape[1] <= matrices.shape[2] else done.mT


def _by_shape(weights: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    found: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        found.setdefault(weight.shape, []).append(weight)
    return found.values()
