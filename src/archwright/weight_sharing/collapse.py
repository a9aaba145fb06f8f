"""Watching a search by gradient for collapse, and stopping it in time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import UnknownNameError
from archwright.core.relaxation import SKIPS
from archwright.policies.categorical import Categorical

Rule = Literal["never", "skip", "eigenvalue"]

Gradient = Callable[[], Tensor]
"""The gradient of the validation loss by α, where α stands now."""


@dataclass(frozen=True)
class WatchConfig:
    """How a search by gradient is watched, and by which numbers it is stopped (`CollapseWatch`).

    Attributes:
        looks: How often in a training the figures are taken.
        skips: Skip connections of a cell that stop it by the rule "skip".
        ratio: Of the largest eigenvalue `window` looks before and now, on average over as many looks, below which it is
            stopped by the rule "eigenvalue".
        window: See `ratio`.
        iterations: Steps of the power iteration.
    """

    looks: int = 25
    skips: int = 2
    ratio: float = 0.75
    window: int = 5
    iterations: int = 5

    def __post_init__(self) -> None:
        check_range("watch.looks", self.looks, 1, 100_000)
        check_range("watch.skips", self.skips, 1, 100_000)
        check_range("watch.ratio", self.ratio, 1e-6, 1)
        check_range("watch.window", self.window, 1, 100_000)
        check_range("watch.iterations", self.iterations, 1, 10_000)


class CollapseWatch:
    """Takes the figures, decides, and keeps the α it may go back to; a checkpoint may keep it.

    The rule "skip" ends a search as soon as a cell that would be derived has so many skip connections (DARTS+, Liang et
    al., arXiv:1909.06035). "eigenvalue" ends it when the largest eigenvalue of the Hessian of the validation loss by α
    grows too fast, and goes back to the α of `window` looks before (Zela et al., ICLR 2020, arXiv:1909.09656). Weights
    are not trained further either.

    Args:
        policy: Whose α are watched.
        rule: "never", "skip" or "eigenvalue".
        config: The numbers.

    Attributes:
        is_stopped: Whether the search has ended.

    Raises:
        UnknownNameError: If there is no such rule.
    """

    def __init__(self, policy: Categorical, rule: Rule = "never", config: WatchConfig | None = None) -> None:
        if rule not in get_args(Rule):
            raise UnknownNameError("stop", rule, get_args(Rule))
        self.policy, self.rule, self.config = policy, rule, config or WatchConfig()
        self.is_stopped = False
        self._eigenvalues: list[float] = []
        self._alphas: list[Tensor] = []

    def look(self, gradient: Gradient) -> dict[str, float]:
        """The figures now: the share of skip connections in what would be derived, and the largest eigenvalue.

        Args:
            gradient: See `Gradient`.
        """
        row = self.policy.best_row()
        figures = {"skip_share": skip_share(self.policy, row)}
        if self.rule == "skip":
            counts = skips_by_cell(self.policy, row)
            self.is_stopped |= any(n >= self.config.skips for n in counts.values())
        if self.rule == "eigenvalue":
            figures["eigenvalue"] = largest_eigenvalue(self.policy.alpha, gradient, self.config.iterations)
            self._keep(figures["eigenvalue"])
        return figures

    def _keep(self, eigenvalue: float) -> None:
        """Note an eigenvalue; stop if it has grown too fast."""
        n, values = self.config.window, self._eigenvalues
        values.append(abs(eigenvalue))
        self._alphas = [*self._alphas, self.policy.alpha.detach().clone()][-n - 1 :]
        if len(values) < 2 * n:
            return
        now, before = float(np.mean(values[-n:])), float(np.mean(values[-2 * n : -n]))
        if now > 0 and before / now < self.config.ratio:
            self.is_stopped = True
            with torch.no_grad():
                self.policy.alpha.copy_(self._alphas[0])

    # ── state ─────────────────────────────────────────────────────────────────────────────────────

    def tensors(self) -> dict[str, Tensor]:
        """The α that are kept, for a checkpoint."""
        return {str(i): alpha for i, alpha in enumerate(self._alphas)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` gave."""
        self._alphas = [tensors[str(i)].to(self.policy.alpha.device) for i in range(len(tensors))]

    def state(self) -> dict[str, Any]:
        """The rest of the state, as JSON."""
        return {"is_stopped": self.is_stopped, "eigenvalues": self._eigenvalues}

    def load_state(self, state: Any) -> None:
        """Restore what `state` gave."""
        self.is_stopped, self._eigenvalues = bool(state["is_stopped"]), list(state["eigenvalues"])


def largest_eigenvalue(alpha: Tensor, gradient: Gradient, iterations: int = 5, step: float = 1e-2) -> float:
    """The eigenvalue of largest size of the Hessian by α, by power iteration on differences of gradients.

    Args:
        alpha: Is moved by `step` and moved back to the bit.
        gradient: See `Gradient`.
        iterations: Of the power iteration, two gradients each.
        step: Length of the differences.
    """
    kept = alpha.detach().clone()
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(len(alpha), generator=generator).to(alpha)
    found = 0.0
    try:
        for _ in range(iterations):
            direction = direction / direction.norm()
            with torch.no_grad():
                alpha.copy_(kept + step * direction)
            ahead = gradient()
            with torch.no_grad():
                alpha.copy_(kept - step * direction)
            product = (ahead - gradient()) / (2 * step)
            found = float(direction @ product)
            if not product.norm() > 0:
                return 0.0
            direction = product
    finally:
        with torch.no_grad():
            alpha.copy_(kept)
    return found if math.isfinite(found) else math.inf


def skip_share(policy: Categorical, row: Rows) -> float:
    """Share of skip connections among the operations of an arch.

    Args:
        policy: Of its space.
        row: (n_decisions,).
    """
    counts, n = skips_by_cell(policy, row), 0
    for name, value in zip(policy.decisions.names, row, strict=True):
        n += value >= 0 and policy.decisions[name].kind == "op"
    return sum(counts.values()) / n if n else 0.0


def skips_by_cell(policy: Categorical, row: Rows) -> Counter[str]:
    """Skip connections of an arch by the beginning of their decision's name, such as the kind of cell.

    Args:
        policy: Of its space.
        row: (n_decisions,).
    """
    found: Counter[str] = Counter()
    for name, value in zip(policy.decisions.names, row, strict=True):
        if value >= 0 and policy.decisions[name].values[value] in SKIPS:
            found[name.partition(".")[0] if "." in name else ""] += 1
    return found
