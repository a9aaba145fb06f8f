"""Other ways to weigh the values of a decision: sampled weights, gates, and what later papers put beside DARTS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.nn.choice.selection import Weights
from archwright.policies.categorical import Categorical
from archwright.spaces.base import Space

Shape = Literal["linear", "exponential"]

_OUT = -1e9
"""The α of a value that was taken out: its weight is exactly 0, and no sum becomes infinite."""


@dataclass(frozen=True)
class Temperature:
    """A temperature that falls in the course of a training.

    Attributes:
        start: At its beginning.
        end: At its end.
        shape: "linear" or "exponential".

    Raises:
        InvalidValueError: If one is not above 0.
    """

    start: float = 1.0
    end: float = 0.03
    shape: Shape = "linear"

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InvalidValueError(f"temperature.{name} is {value}; give a number above 0")
        if self.shape not in get_args(Shape):
            raise UnknownNameError("shape of a temperature", self.shape, get_args(Shape))

    def at(self, progress: float) -> float:
        """The temperature when a share of the training is over.

        Args:
            progress: In [0, 1].

        Examples:
            >>> [round(Temperature(1.0, 0.03).at(t), 3) for t in (0.0, 0.5, 1.0)]
            [1.0, 0.515, 0.03]
        """
        if self.shape == "linear":
            return self.end + (1 - progress) * (self.start - self.end)
        return float(self.start * (self.end / self.start) ** progress)


@listed(
    "policy",
    "gumbel-softmax",
    summary="arch parameters whose mixtures are samples: a softmax of α and Gumbel noise at a falling temperature",
    source="SNAS, Xie et al., ICLR 2019, arXiv:1812.09926; FBNet, Wu et al., CVPR 2019, arXiv:1812.03443; hard: GDAS, "
    "Dong and Yang, CVPR 2019, arXiv:1910.04465",
)
class GumbelSoftmax(Categorical):
    """Mixtures are samples of the concrete distribution: softmax((α + G) / λ), with Gumbel noise G and temperature λ.

    With `hard` only the sampled value runs, at weight 1, and passes on the gradient of its soft weight, as in GDAS.

    Args:
        space: See `Categorical`.
        temperature: λ over the training.
        hard: See above.
        spread: See `Categorical`.
        edge_weights: See `Categorical`.
        seed: See `Categorical`.
    """

    def __init__(
        self,
        space: Space,
        *,
        temperature: Temperature | None = None,
        hard: bool = False,
        spread: float = 0.0,
        edge_weights: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(space, spread=spread, edge_weights=edge_weights, seed=seed)
        self.temperature, self.hard = temperature or Temperature(), hard

    def weights(self, rng: np.random.Generator, progress: float = 0.0) -> dict[str, Tensor]:
        noise = torch.from_numpy(rng.gumbel(size=len(self.alpha))).to(self.alpha)
        parts = torch.split(self.alpha.detach() + noise, self._sizes)  # for the values that are sampled alone
        noises = torch.split(noise, self._sizes)
        heat, found = self.temperature.at(progress), dict[str, Tensor]()
        alphas = self.alphas()
        for name, summed, part in zip(self.decisions.names, parts, noises, strict=True):
            if name in alphas:
                soft = ((alphas[name] + part) / heat).softmax(0)
                found[name] = _straight(soft, int(summed.argmax())) if self.hard else soft
        return found

    def mixture(self, rng: np.random.Generator, progress: float = 0.0) -> Mapping[str, Weights]:
        found = super().mixture(rng, progress)
        if not self.hard:
            return found
        return {name: _open_ones(weights) for name, weights in found.items()}


def _straight(soft: Tensor, chosen: int) -> Tensor:
    """1 at the chosen place and 0 elsewhere, with the gradients of the soft weights."""
    hard = torch.zeros_like(soft)
    hard[chosen] = 1.0
    return hard + soft - soft.detach()


def _open_ones(weights: Weights) -> Weights:
    """Those at weight 1; where the sampled value was `none`, the first at 0, so that there is one."""
    kept = [(i, weight) for i, weight in weights if torch.as_tensor(weight).item() > 0]
    return kept or [(weights[0][0], 0.0)]


@listed(
    "policy",
    "binary-gates",
    summary="arch parameters whose mixtures are one sampled path with gates that carry gradients",
    source="ProxylessNAS, Cai et al., ICLR 2019, arXiv:1812.00332",
)
class BinaryGates(Categorical):
    """Mixtures are binary gates (`Categorical.gates`).

    After an update of α with two gates a decision, both α that took part are moved by the same amount, so that the
    probabilities of the values that were not drawn stay as they were (as in the released code; the paper rescales both
    too, Sec. 3.2.2).

    Args:
        space: See `Categorical`.
        paths: Values of a decision that run: 1, 2 or None for all; see `Categorical.gates`.
        spread: See `Categorical`.
        seed: See `Categorical`.
    """

    def __init__(self, space: Space, *, paths: int | None = 2, spread: float = 0.0, seed: int = 0) -> None:
        super().__init__(space, spread=spread, seed=seed)
        check_paths("paths", paths)
        self.paths = paths
        self._drawn: dict[str, list[int]] = {}  # of this step
        self._before: Tensor | None = None

    def mixture(self, rng: np.random.Generator, progress: float = 0.0) -> Mapping[str, Weights]:
        found = self.gates(rng, n=self.paths)
        self._drawn = {name: [self.n_none(name) + i for i, _ in gates] for name, gates in found.items()}
        self._before = self.alpha.detach().clone()
        return found

    @torch.no_grad()
    def updated(self) -> None:
        if self.paths != 2 or self._before is None:
            return
        before = torch.split(self._before, self._sizes)
        for name, new, old in zip(self.decisions.names, torch.split(self.alpha, self._sizes), before, strict=True):
            pair = self._drawn.get(name, [])
            if len(pair) == 2:
                new[pair] -= new[pair].logsumexp(0) - old[pair].logsumexp(0)
        self._before = None


@listed(
    "policy",
    "dirichlet",
    summary="arch parameters that are concentrations of a Dirichlet distribution; mixtures are samples of it",
    source="DrNAS, Chen et al., ICLR 2021, arXiv:2006.10355",
)
class DirichletWeights(Categorical):
    """Mixtures are samples of a Dirichlet distribution of concentration elu(α) + 1 for each decision (Sec. 2.2).

    Archs are drawn by its mean. The regularizer is `anchor` times the divergence from the flat distribution (Sec. 3.1).

    Args:
        space: See `Categorical`.
        anchor: Weight of the regularizer.
        spread: See `Categorical`.
        edge_weights: See `Categorical`.
        seed: See `Categorical`.
    """

    def __init__(
        self, space: Space, *, anchor: float = 1e-3, spread: float = 0.0, edge_weights: bool = False, seed: int = 0
    ) -> None:
        super().__init__(space, spread=spread, edge_weights=edge_weights, seed=seed)
        check_range("anchor", anchor, 0, 1e6)
        self.anchor = anchor

    def log_weights(self) -> dict[str, Tensor]:
        return {name: (each / each.sum()).log() for name, each in self._concentrations().items()}

    def weights(self, rng: np.random.Generator, progress: float = 0.0) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))  # torch's samples carry gradients, numpy's do not
            # on the CPU, so that a seed gives the same sample on any device
            return {
                name: Dirichlet(each.cpu()).rsample().to(each.device) for name, each in self._concentrations().items()
            }

    def regularizer(self) -> Tensor | None:
        if not self.anchor:
            return None
        each = [kl_divergence(Dirichlet(c), Dirichlet(torch.ones_like(c))) for c in self._concentrations().values()]
        return self.anchor * torch.stack(each).sum()

    def _concentrations(self) -> dict[str, Tensor]:
        # an α far below 0 is a concentration of almost 0, of which samples would not be finite
        return {name: F.elu(each).clamp(min=-1 + 1e-3) + 1 for name, each in self.alphas().items()}


@listed(
    "policy",
    "sigmoid",
    summary="arch parameters of which each value has its own, by a sigmoid; a loss drives them to 0 or 1",
    source="FairDARTS, Chu et al., ECCV 2020, arXiv:1911.12126",
)
class SigmoidWeights(Categorical):
    """A mixture weighs each value by sigmoid(α), so that values do not compete (Sec. 4.1); there is no `none`.

    Archs are drawn by the shares of these weights. The regularizer is minus `pull` times the mean squared distance of
    the weights from 1/2 (the zero-one loss, Eq. 5). The paper keeps the values above a threshold; here the strongest.

    Args:
        space: See `Categorical`.
        pull: Weight of the regularizer; 10 in the paper.
        spread: See `Categorical`.
        edge_weights: See `Categorical`.
        seed: See `Categorical`.
    """

    def __init__(
        self, space: Space, *, pull: float = 10.0, spread: float = 0.0, edge_weights: bool = False, seed: int = 0
    ) -> None:
        super().__init__(space, spread=spread, edge_weights=edge_weights, seed=seed)
        check_range("pull", pull, 0, 1e6)
        self.pull = pull

    def n_none(self, name: str) -> int:
        return 0

    def log_weights(self) -> dict[str, Tensor]:
        # the shares within a decision, and between the edges of a node the sums of the weights
        found = {name: F.logsigmoid(each) for name, each in self.alphas().items()}
        return {name: each - each.logsumexp(0) for name, each in found.items()}

    def weights(self, rng: np.random.Generator, progress: float = 0.0) -> dict[str, Tensor]:
        return {name: each.sigmoid() for name, each in self.alphas().items()}

    def regularizer(self) -> Tensor | None:
        return -self.pull * (self.alpha.sigmoid() - 0.5).square().mean() if self.pull else None


@listed(
    "policy",
    "shrinking",
    summary="arch parameters of which the weakest values of each decision are taken out in the course of a training",
    source="P-DARTS, Chen et al., ICCV 2019, arXiv:1904.12760",
)
class Shrinking(Categorical):
    """A softmax over values that become fewer: each stage of a training begins with the strongest of the one before.

    P-DARTS keeps 8, 5 and 3 operations (Sec. 3.2); it also makes the network deeper from stage to stage, which is not
    done here. Values that are out do not run.

    Args:
        space: See `Categorical`.
        stages: How many values, with `none`, each decision has in each of the equally long stages; falling.
        spread: See `Categorical`.
        edge_weights: See `Categorical`.
        seed: See `Categorical`.

    Attributes:
        is_in: Whether each value is still in, in the order of α.
    """

    is_in: Tensor
    P_DARTS: ClassVar[tuple[int, ...]] = (8, 5, 3)

    def __init__(
        self,
        space: Space,
        *,
        stages: tuple[int, ...] = P_DARTS,
        spread: float = 0.0,
        edge_weights: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(space, spread=spread, edge_weights=edge_weights, seed=seed)
        check_stages("stages", stages)
        self.stages = tuple(stages)
        self.register_buffer("is_in", torch.ones(len(self.alpha), dtype=torch.bool))

    @torch.no_grad()
    def begin_step(self, progress: float) -> None:
        kept = self.stages[min(int(progress * len(self.stages)), len(self.stages) - 1)]
        for name, part in zip(self.decisions.names, torch.split(self.is_in, self._sizes), strict=True):
            if int(part.sum()) <= kept or not self._is_mixed(name):
                continue
            alpha = dict(self.alphas())[name].masked_fill(~part, -torch.inf)
            first = self.n_none(name)
            best = first + int(alpha[first:].argmax())  # an edge without a real value could not be derived
            alpha[best] = torch.inf
            part.zero_()
            part[alpha.topk(kept).indices] = True

    def log_weights(self) -> dict[str, Tensor]:
        masks = dict(zip(self.decisions.names, torch.split(self.is_in, self._sizes), strict=True))
        return {name: each.masked_fill(~masks[name], _OUT).log_softmax(0) for name, each in self.alphas().items()}

    def mixture(self, rng: np.random.Generator, progress: float = 0.0) -> Mapping[str, Weights]:
        masks = dict(zip(self.decisions.names, torch.split(self.is_in, self._sizes), strict=True))
        found: dict[str, Weights] = {}
        for name, weights in super().mixture(rng, progress).items():
            stays = masks[name][self.n_none(name) :].tolist()
            found[name] = [(i, weight) for i, weight in weights if stays[i]]
        return found


def check_paths(name: str, paths: int | None) -> None:
    """Refuse a number of values that gates cannot run."""
    if paths not in (1, 2, None):
        raise InvalidValueError(f"{name} is {paths}; give 1, 2, or None for all")


def check_stages(name: str, stages: tuple[int, ...]) -> None:
    """Refuse stages that do not fall from one to the next."""
    if not stages or min(stages) < 1 or list(stages) != sorted(stages, reverse=True):
        raise InvalidValueError(f"{name} is {stages}; give falling numbers of values from 1 up, such as (8, 5, 3)")
