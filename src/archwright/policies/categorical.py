"""Independent distributions over the values of each decision: the α of gradient-based methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.core.relaxation import ABSENT
from archwright.nn.choice.selection import Weights
from archwright.policies.base import Progress
from archwright.policies.learned import LearnedPolicy
from archwright.spaces.base import Space

TINY = 1e-30
"""The least weight of a mixture, where its logarithm is taken."""

NONE = 1
"""Columns before those of the values, of a decision that has the candidate `none`."""


@listed(
    "policy",
    "categorical",
    summary="arch parameters α: each decision on its own, by a softmax over its values; mixtures and binary gates",
    source="DARTS, Liu et al., ICLR 2019, arXiv:1806.09055; gates: ProxylessNAS, Cai et al., ICLR 2019, "
    "arXiv:1812.00332",
)
class Categorical(LearnedPolicy):
    """Draws each decision independently, by a softmax over one α for each value; begins uniform.

    A conditional decision has one distribution, wherever it is active. A decision with the candidate `none`
    (`Space.relaxation`) has an α for it too, the first; the weights of a mixture are those of the softmax over all of
    them, and archs are drawn by the shares of the real values.

    The inputs of a node whose edges are known (`Relaxation.edges`) have no α: a subset is as probable as the product of
    its edges' weights without `none`. The likeliest cell is then the one that DARTS derives: the edges with the largest
    weights, each with its best operation (Sec. 2.4).

    Args:
        space: Where archs come from.
        spread: Standard deviation of the initial α; 0 begins uniform. DARTS takes 1e-3.
        edge_weights: Whether an edge into such a node has a further weight: a softmax over the node's edges, as in
            PC-DARTS (Xu et al., ICLR 2020, arXiv:1907.05737, Sec. 3.3).
        seed: Of the initial α.

    Attributes:
        alpha: (sum of the numbers of values,) the α of all decisions, one decision after the other.
        edge_alpha: (number of edges,) of the weights of edges, one node after the other; None without.

    Raises:
        InvalidValueError: If weights of edges are asked for, and the space has no such nodes.
    """

    edge_alpha: nn.Parameter | None

    def __init__(self, space: Space, *, spread: float = 0.0, edge_weights: bool = False, seed: int = 0) -> None:
        super().__init__(space)
        if not spread >= 0:
            raise InvalidValueError(f"spread is {spread}; give 0 or more")
        self.relaxation = space.relaxation()
        self._sizes = [self._n_alphas(name) for name in self.decisions.names]
        generator = torch.Generator().manual_seed(seed)
        self.alpha = nn.Parameter(spread * torch.randn(sum(self._sizes), generator=generator))
        edges = self.relaxation.edges
        if edge_weights and not edges:
            raise InvalidValueError(
                f"edge_weights is True, and space {space.name!r} has no nodes that sum edges of their own; leave it out"
            )
        n_edges = sum(map(len, edges.values()))
        self.edge_alpha = nn.Parameter(spread * torch.randn(n_edges, generator=generator)) if edge_weights else None
        self._members = {name: _membership(self.decisions[name].values, len(edges[name])) for name in edges}

    def _n_alphas(self, name: str) -> int:
        if name in self.relaxation.edges:
            return 0
        return len(self.decisions[name].values) + self.n_none(name)

    def n_none(self, name: str) -> int:
        """Columns of a decision's α before those of its values: 1 where it has the candidate `none`."""
        return NONE if name in self.relaxation.has_none else 0

    # ── distributions ─────────────────────────────────────────────────────────────────────────────

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        self.check_finite()
        with torch.no_grad():
            chances = [each.double().softmax(0).cpu().numpy() for each in self._logs().values()]
        return self.decisions.sample_from(n, rng, chances)

    def log_prob(self, rows: Rows) -> Tensor:
        values, active = self.values_of(rows, self.alpha.device)
        logs = [each[value] for each, value in zip(self._logs().values(), values, strict=True)]
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

    def probabilities(self, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """See `LearnedPolicy.probabilities`.

        Args:
            weights: In place of the mean weights, e.g. those of a sampled mixture.
        """
        logs = None if weights is None else {name: each.clamp(min=TINY).log() for name, each in weights.items()}
        return {name: each.exp() for name, each in self._logs(logs).items()}

    def alphas(self) -> dict[str, Tensor]:
        """By decision that has some: its α, that of `none` first where it has this candidate."""
        parts = torch.split(self.alpha, self._sizes)
        return {name: part for name, part in zip(self.decisions.names, parts, strict=True) if len(part)}

    def log_weights(self) -> dict[str, Tensor]:
        """By decision that has α: the logarithms of the weights that its values have on average, with that of `none`.

        They sum to 1 without their logarithm.
        """
        return {name: each.log_softmax(0) for name, each in self.alphas().items()}

    def best_row(self) -> Rows:
        """The likeliest value of each decision; of a node with known edges the strongest edges, see the class."""
        with torch.no_grad():
            logs = {name: each[self.n_none(name) :] for name, each in self.log_weights().items()}
            likeliest = {name: int(each.argmax()) for name, each in logs.items()}
            shares = self._log_edge_weights()
            for node, edges in self.relaxation.edges.items():
                strengths = torch.stack([logs[edge].max() for edge in edges])
                strengths = strengths + shares[node] if shares else strengths
                likeliest[node] = int((self._members[node] @ strengths.double().cpu().numpy()).argmax())
        values = [[likeliest[name] for name in self.decisions.names]]
        row: Rows = self.decisions.canonical(np.array(values, dtype=np.int16))[0]
        return row

    def _logs(self, log_weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The logarithm of the probability of each value, of all decisions in their order."""
        found, masses = dict[str, Tensor](), dict[str, Tensor]()
        for name, each in (log_weights or self.log_weights()).items():
            real = each[self.n_none(name) :]
            masses[name] = real.logsumexp(0) if self.n_none(name) else each.new_zeros(())
            found[name] = real - masses[name]
        shares = self._log_edge_weights()
        for node, edges in self.relaxation.edges.items():
            strengths = torch.stack([masses[edge] for edge in edges])
            strengths = strengths + shares[node] if shares else strengths
            found[node] = (torch.from_numpy(self._members[node]).to(strengths) @ strengths).log_softmax(0)
        return {name: found[name] for name in self.decisions.names}

    def _log_edge_weights(self) -> dict[str, Tensor]:
        """By node: the logarithm of the weight of each of its edges; empty where they have none."""
        if self.edge_alpha is None:
            return {}
        edges = self.relaxation.edges
        parts = torch.split(self.edge_alpha, [len(each) for each in edges.values()])
        return {node: part.log_softmax(0) for node, part in zip(edges, parts, strict=True)}

    def _entropies(self) -> Tensor:
        """The entropy (n_decisions,) of each decision."""
        return torch.stack([_entropy(each) for each in self._logs().values()])

    # ── what runs ─────────────────────────────────────────────────────────────────────────────────

    def weights(self, rng: np.random.Generator, progress: float = 0.0) -> dict[str, Tensor]:
        """By decision that has α: the weights of a mixture, with that of `none`; by default the softmax, as in DARTS.

        Args:
            rng: What is random in them.
            progress: How far the training is, in [0, 1).
        """
        return {name: each.exp() for name, each in self.log_weights().items()}

    def mixture(self, rng: np.random.Generator, progress: float = 0.0) -> Mapping[str, Weights]:
        """All values of each decision that chooses no number, by `weights`."""
        found: dict[str, Weights] = {}
        edge_weights = self._edge_weights()
        for name, each in self.weights(rng, progress).items():
            if self._is_mixed(name):
                values = each[self.n_none(name) :]
                values = values * edge_weights[name] if name in edge_weights else values
                found[name] = list(enumerate(values.unbind()))
        return found

    def gates(self, rng: np.random.Generator, *, n: int | None = 2) -> Mapping[str, Weights]:
        """A sampled path whose weights are exactly 1 and 0 and carry gradients: the binary gates of ProxylessNAS.

        The weight w of a value passes on ∂L/∂α = ∂L/∂w ∂p/∂α, where p is its probability (Sec. 3.2.1, Eq. 4). With
        n = 2, two values are drawn without replacement, p is their softmax among themselves, and one of them, drawn
        by it, has the 1; the other runs too and has the 0 (Sec. 3.2.2). With n None all values run. A decision whose
        open value computes nothing has no gradient, as in the released code. Numbers have no gates, nor has `none`.

        Args:
            rng: Draws the values.
            n: Values of a decision that run: 1, 2, or None for all.
        """
        if n not in (1, 2, None):
            raise InvalidValueError(f"gates are asked for {n} values of a decision; give 1, 2, or None for all")
        found: dict[str, Weights] = {}
        logs = self._logs()
        for name in self.alphas():
            if not self._is_mixed(name):
                continue
            chances = logs[name].exp()
            numbers = chances.detach().double().cpu().numpy()
            n_run = min(n or len(numbers), int((numbers > 0).sum()))
            places = rng.choice(len(numbers), size=n_run, replace=False, p=numbers / numbers.sum())
            among = chances if n != 2 else chances[places] / chances[places].sum()
            kept = among if n == 2 else among[places]
            shares = kept.detach().double().cpu().numpy()
            on = rng.choice(n_run, p=shares / shares.sum())
            if self.decisions[name].values[places[on]] in ABSENT:
                found[name] = [(int(places[on]), 1.0)]
                continue
            # p - p is exactly 0: the value is the gate, the gradient that of p
            gates = [p - p.detach() + float(i == on) for i, p in enumerate(kept.unbind())]
            found[name] = list(zip(places.tolist(), gates, strict=True))
        return found

    def _edge_weights(self) -> dict[str, Tensor]:
        """By the decision about an edge's operation: the weight of the edge."""
        shares, edges = self._log_edge_weights(), self.relaxation.edges
        return {
            edge: share
            for node, each in shares.items()
            for edge, share in zip(edges[node], each.exp().unbind(), strict=True)
        }

    def _is_mixed(self, name: str) -> bool:
        return self.decisions[name].kind != "number"


def _entropy(log_chances: Tensor) -> Tensor:
    return -(log_chances.exp() * log_chances).sum()


def _last(n: int, like: Tensor) -> Tensor:
    """(n + 1,) ones at the last place."""
    ones = like.new_zeros(n + 1)
    ones[n] = 1.0
    return ones


def _membership(subsets: tuple[object, ...], n: int) -> NDArray[np.float64]:
    """(subsets, sources): 1 where a subset of sources holds one."""
    found = np.zeros((len(subsets), n))
    for i, subset in enumerate(subsets):
        assert isinstance(subset, tuple)
        found[i, list(subset)] = 1.0
    return found
