"""Independent distributions over the values of each decision: the α of gradient-based methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.nn.choice.selection import Weights
from archwright.policies.base import Progress
from archwright.policies.learned import LearnedPolicy
from archwright.spaces.base import Space


@listed(
    "policy",
    "categorical",
    summary="arch parameters α: each decision on its own, by a softmax over its values; mixtures and binary gates",
    source="DARTS, Liu et al., ICLR 2019, arXiv:1806.09055; gates: ProxylessNAS, Cai et al., ICLR 2019, "
    "arXiv:1812.00332",
)
class Categorical(LearnedPolicy):
    """Draws each decision independently, by a softmax over one α for each value; begins uniform.

    A conditional decision has one distribution, wherever it is active.

    Args:
        space: Where archs come from.
        spread: Standard deviation of the initial α; 0 begins uniform. DARTS takes 1e-3.
        seed: Of the initial α.

    Attributes:
        alpha: (sum of the numbers of values,) the α of all decisions, one decision after the other.
    """

    def __init__(self, space: Space, *, spread: float = 0.0, seed: int = 0) -> None:
        super().__init__(space)
        if not spread >= 0:
            raise InvalidValueError(f"spread is {spread}; give 0 or more")
        self._sizes = self.decisions.n_values.tolist()
        drawn = torch.randn(sum(self._sizes), generator=torch.Generator().manual_seed(seed))
        self.alpha = nn.Parameter(spread * drawn)

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        self.check_finite()
        with torch.no_grad():
            chances = [each.double().softmax(0).cpu().numpy() for each in self._alphas()]
        return self.decisions.sample_from(n, rng, chances)

    def log_prob(self, rows: Rows) -> Tensor:
        values, active = self.values_of(rows, self.alpha.device)
        logs = [each.log_softmax(0)[value] for each, value in zip(self._alphas(), values, strict=True)]
        return torch.where(active, torch.stack(logs), 0.0).sum(0)

    def entropy(self, rows: Rows) -> Tensor:
        _, active = self.values_of(rows, self.alpha.device)
        return torch.where(active, self._entropies()[:, None], 0.0).sum(0)

    def total_entropy(self) -> Tensor:
        """The entropy of the policy in nats, exact: of each decision, times the probability that it is active."""
        total = self.alpha.new_zeros(())
        reached = self.alpha.new_ones(1)  # the probability of each state of the dynamic program over the decisions
        for layer, chances, entropy in zip(
            self.decisions.layers, self.probabilities().values(), self._entropies(), strict=True
        ):
            active = torch.from_numpy(layer.active).to(reached.device)
            total = total + (reached * active).sum() * entropy
            # an inactive decision leads on by the last column, an active one by that of its value
            ways = torch.where(
                active[:, None], torch.cat([chances, chances.new_zeros(1)]), _last(len(chances), chances)
            )
            following = torch.from_numpy(layer.follow.astype(np.int64)).to(reached.device)
            onward = (reached[:, None] * ways)[following >= 0]
            after = reached.new_zeros(int(following.max()) + 1)
            reached = after.index_add(0, following[following >= 0], onward)
        return total

    def probabilities(self) -> dict[str, Tensor]:
        return {name: each.softmax(0) for name, each in zip(self.decisions.names, self._alphas(), strict=True)}

    def mixture(self, rng: np.random.Generator, progress: float = 0.0) -> Mapping[str, Weights]:
        """All values of each decision that chooses no number, by their probabilities, as in DARTS."""
        return {name: list(enumerate(chances)) for name, chances in self._mixable().items()}

    def gates(self, rng: np.random.Generator, *, n: int = 2) -> Mapping[str, Weights]:
        """A sampled path whose weights are exactly 1 and 0 and carry gradients: the binary gates of ProxylessNAS.

        The weight w of a value passes on ∂L/∂α = ∂L/∂w ∂p/∂α, where p is its probability (Sec. 3.2.1, Eq. 4). With
        n = 2, two values are drawn without replacement, p is their softmax among themselves, and one of them, drawn
        by it, has the 1; the other runs too and has the 0 (Sec. 3.2.2). Numbers have no gates.

        Args:
            rng: Draws the values.
            n: Values of a decision that run: 1 or 2.
        """
        if n not in (1, 2):
            raise InvalidValueError(f"gates are asked for {n} values of a decision; give 1 or 2")
        found: dict[str, Weights] = {}
        for name, chances in self._mixable().items():
            numbers = chances.detach().double().cpu().numpy()
            n_run = min(n, int((numbers > 0).sum()))
            places = rng.choice(len(numbers), size=n_run, replace=False, p=numbers / numbers.sum())
            among = chances if n == 1 else chances[places] / chances[places].sum()
            kept = among[places] if n == 1 else among
            shares = kept.detach().double().cpu().numpy()
            on = rng.choice(n_run, p=shares / shares.sum())
            # p - p is exactly 0: the value is the gate, the gradient that of p
            gates = [p - p.detach() + float(i == on) for i, p in enumerate(kept)]
            found[name] = list(zip(places.tolist(), gates, strict=True))
        return found

    def best_row(self) -> Rows:
        likeliest = [[int(each.argmax()) for each in self._alphas()]]
        row: Rows = self.decisions.canonical(np.array(likeliest, dtype=np.int16))[0]
        return row

    def _alphas(self) -> tuple[Tensor, ...]:
        return torch.split(self.alpha, self._sizes)

    def _entropies(self) -> Tensor:
        """The entropy (n_decisions,) of each decision."""
        return torch.stack([_entropy(each.log_softmax(0)) for each in self._alphas()])

    def _mixable(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.probabilities().items() if self.decisions[name].kind != "number"}


def _entropy(log_chances: Tensor) -> Tensor:
    return -(log_chances.exp() * log_chances).sum()


def _last(n: int, like: Tensor) -> Tensor:
    """(n + 1,) ones at the last place."""
    ones = like.new_zeros(n + 1)
    ones[n] = 1.0
    return ones
