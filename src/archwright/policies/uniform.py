"""Uniform distributions: over all archs, or flattened over the values of a cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.base import Cost
from archwright.policies.base import Policy, Progress
from archwright.spaces.base import Space

N_DRAWN, LEAST_SHARE = 10_000, 0.005
"""Random archs that estimate the distribution of a cost, and how many of them are enough for that of a part of it."""


@listed("policy", "uniform", summary="every arch equally likely")
class Uniform(Policy):
    """Every arch equally likely."""

    def __init__(self, space: Space) -> None:
        self.decisions = space.decisions

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        return self.decisions.sample(n, rng)


@listed(
    "policy",
    "uniform-in-cost-bins",
    summary="a bin of a cost uniformly, then an arch uniformly within the bin",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class UniformInCostBins(Policy):
    """Draws a bin of a cost uniformly, then an arch uniformly within the bin.

    The constrained sampling of SPOS's released code (src/Supernet/train.py): archs whose cost is rare are
    trained as often as common ones. After `max_tries` draws that miss the bin an unconstrained arch is taken.

    Args:
        space: Where archs come from; its stand-alone networks are what is costed.
        cost: The cost the bins divide.
        edges: Ascending bin edges; bin i is [edges[i], edges[i + 1]).
        max_tries: Draws for one arch before the bin is given up.
    """

    def __init__(self, space: Space, cost: Cost, edges: Sequence[float], *, max_tries: int = 500) -> None:
        self.space, self.decisions, self.cost, self.max_tries = space, space.decisions, cost, max_tries
        self.edges = np.asarray(edges, dtype=np.float64)
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise InvalidValueError(f"bin edges are {list(edges)}; give at least two, ascending")

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        wanted = rng.integers(len(self.edges) - 1, size=n)
        rows = self.decisions.sample(n, rng)
        missing = np.flatnonzero(self._bin(rows) != wanted)
        for _ in range(self.max_tries - 1):
            if not len(missing):
                return rows
            rows[missing] = self.decisions.sample(len(missing), rng)
            missing = missing[self._bin(rows[missing]) != wanted[missing]]
        rows[missing] = self.decisions.sample(len(missing), rng)
        return rows

    def _bin(self, rows: Rows) -> NDArray[np.int64]:
        """Number of the bin each row's cost lies in; −1 or the number of bins outside of all."""
        return np.searchsorted(self.edges, _costs(self.cost, self.space, rows), side="right") - 1


def _costs(cost: Cost, space: Space, rows: Rows) -> NDArray[np.float64]:
    """The cost (n,) of each row; where rows are equal only one is costed, for without tables that takes a while."""
    if len(rows) < space.size():
        return cost.cost_rows(space, rows)
    different, place = np.unique(rows, axis=0, return_inverse=True)
    return cost.cost_rows(space, different)[place.reshape(-1)]


def quantile_edges(
    space: Space,
    cost: Cost,
    rng: np.random.Generator,
    *,
    n_bins: int,
    low: float = 0.01,
    high: float = 0.99,
    n_drawn: int = N_DRAWN,
    within: tuple[float, float] | None = None,
) -> list[float]:
    """Edges of equally wide bins between two quantiles of a cost over uniform archs.

    The bins of SPOS (290 to 360 M in steps of 10 M) hold 99.7 % of its space; for a space of another scale
    these are the like. Where both quantiles coincide, one bin around that value is returned.

    Args:
        space: Where archs come from.
        cost: The cost that the bins divide.
        rng: Draws the archs.
        n_bins: Number of bins; there is one edge more.
        low: Quantile of the first edge, in [0, 1].
        high: Quantile of the last edge, in [0, 1].
        n_drawn: Archs drawn to find the quantiles.
        within: Lowest and highest cost of the archs that count, unless hardly any lie there: those that matter under
            a limit are close to it.
    """
    values = _costs(cost, space, space.decisions.sample(n_drawn, rng))
    if within is not None:
        near = values[(values >= within[0]) & (values <= within[1])]
        values = near if len(near) >= LEAST_SHARE * n_drawn else values
    bottom, top = np.quantile(values, [low, high])
    if bottom == top:
        return [float(bottom), float(np.nextafter(top, np.inf))]
    return [float(edge) for edge in np.linspace(bottom, top, n_bins + 1)]


def check_edges(space: Space, cost: Cost, edges: Sequence[float], *, setting: str) -> None:
    """Refuse bins that hold none of many random archs: draws would miss them and cover the whole space instead.

    Args:
        space: Where archs come from.
        cost: The cost the bins divide.
        edges: Ascending bin edges.
        setting: What the user calls them.

    Raises:
        InvalidValueError: Names the values there are.
    """
    values = _costs(cost, space, space.decisions.sample(N_DRAWN, np.random.default_rng(0)))
    if not ((values >= edges[0]) & (values < edges[-1])).any():
        raise InvalidValueError(
            f"{setting} from {edges[0]:,.10g} to {edges[-1]:,.10g} hold no architecture of space {space.name!r}: "
            f"its {cost.name} lie between {values.min():,.10g} and {values.max():,.10g}; "
            f"give edges there, or none (--set {setting}=)"
        )
