"""Searches whose arch parameters follow rewards of single paths (ProxylessNAS with REINFORCE)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.objective import Objective
from archwright.core.trial import Candidate
from archwright.costs.watch import Watch
from archwright.finish import Found
from archwright.policies.categorical import Categorical
from archwright.recipes.by_gradient import best_within
from archwright.recipes.enas import EnasConfig
from archwright.recipes.opened import OpenSearch
from archwright.search import SearchResult
from archwright.weight_sharing.controlled_path import ControlledPath


@dataclass(frozen=True)
class PathControllerConfig(EnasConfig):
    """Numbers of a search by REINFORCE on arch parameters.

    Attributes:
        exponent: Of a limit divided by the cost, by which a reward is multiplied; each limit has its factor.
        least_of_limit: Share of a limit that the derived architecture is to use, where there is such a one.
    """

    exponent: float = 0.1
    least_of_limit: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("exponent", self.exponent, 0, 100)
        check_range("least_of_limit", self.least_of_limit, 0, 1)


def find_by_policy_gradient(search: OpenSearch, config: PathControllerConfig) -> Found:
    """Train weights on drawn paths and α on their rewards, and derive the likeliest arch; once for each limit.

    Args:
        search: The search that was asked for.
        config: Its numbers.
    """
    searches: list[SearchResult] = []
    for label, objective in search.labelled():
        shared, policy = search.supernet(), Categorical(search.space, spread=1e-3, seed=search.seed_of("alpha") % 2**63)
        sharing = ControlledPath(config.supernet, config.controller, factor=_factor(search, objective, config.exponent))
        search.train(f"supernet{label}", sharing, shared, lambda policy=policy: policy)  # type: ignore[misc]

        def derive(objective: Objective, policy: Categorical = policy) -> Candidate:
            row = best_within(search, policy, objective, config.least_of_limit)
            return Candidate(0, search.space.decisions.arch(row), search.seed, origin="alpha")

        searches.append(search.derived_for(objective, derive, search.by_shared(shared, config.calibration)))
    return Found(tuple(searches), search.n_steps, search.curves)


def _factor(search: OpenSearch, objective: Objective, exponent: float) -> Callable[[Rows], NDArray[np.float64]] | None:
    """What multiplies the reward of rows; None without limits."""
    if not objective.constraints or not exponent:
        return None
    watch = Watch(search.space, search.opened.costs)

    def factor(rows: Rows) -> NDArray[np.float64]:
        values = watch.values(rows)
        shares = [(one.limit / np.maximum(values[one.cost], 1e-12)) ** exponent for one in objective.constraints]
        product: NDArray[np.float64] = np.prod(shares, axis=0)
        return product

    return factor
