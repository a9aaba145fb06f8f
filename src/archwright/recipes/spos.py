"""Single Path One-Shot NAS (Guo et al., ECCV 2020, arXiv:1904.00420)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from archwright.core.config import added_field, check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Objective
from archwright.costs.base import Cost
from archwright.costs.profiling.profile import ProfileConfig
from archwright.costs.watch import Watch, open_costs
from archwright.evaluators.supernet import CalibrationConfig
from archwright.finish import Found
from archwright.policies.uniform import UniformInCostBins, check_edges, quantile_edges
from archwright.recipes.augmenting import as_published
from archwright.recipes.base import SearchConfig
from archwright.recipes.limited_costs import n_unmeasured
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import LOW_RATE, QUICK_STEPS, long, spos_training, suited, usual_training
from archwright.recipes.recipe import AutoMethod, recipe
from archwright.strategies.base import Feasible
from archwright.strategies.evolution import Evolution, EvolutionConfig
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.uniform_path import UniformPath

PAPER_SIDE, NEAR = 224, 0.75
N_DRAWN, LEAST_LARGE = 4096, 250
"""Archs that are drawn to see how many use their limit, and how many there have to be, about."""

PAPER_EDGES = tuple(1e6 * edge for edge in range(290, 370, 10))


@dataclass(frozen=True)
class SposConfig(SearchConfig):
    """Numbers of a run; defaults are the released code's (megvii-model/SinglePathOneShot).

    Attributes:
        supernet: Training of the supernet.
        bin_edges: Edges of the bins of a cost that paths are drawn from, of the space's `binned_cost`
            (multiply–accumulates, but for few spaces); empty: `n_bins` equal bins between the 1 % and 99 % quantiles of
            archs close to its limits, or of all where it has none.
        n_bins: See `bin_edges`.
        least_of_limit: Share of a limit on that cost below which no arch is tried, where enough archs lie above it:
            short trainings of a supernet favour small networks, and a limit is there to be used. 0 tries all.
        calibration: Images that set batch-norm statistics of each candidate.
        evolution: The search.
    """

    supernet: TrainingConfig = field(default_factory=lambda: spos_training(150_000))
    bin_edges: tuple[float, ...] = ()
    n_bins: int = 7
    least_of_limit: float = added_field(0.0, absent=0.0)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_bins", self.n_bins, 1, 10_000)
        check_range("least_of_limit", self.least_of_limit, 0, 0.99)
        edges = self.bin_edges
        if edges and (len(edges) < 2 or not all(a < b < math.inf for a, b in itertools.pairwise(edges))):
            raise InvalidValueError(f"bin_edges is {edges}; give two or more rising numbers, or none")

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        if name == "paper":
            # the paper's limit and bins belong to its input size
            if len(input_shape) != 3 or min(input_shape[1:]) != PAPER_SIDE:
                return as_published(cls(), input_shape, jitter=True)
            return as_published(cls(limits=(("macs", 330e6),), bin_edges=PAPER_EDGES), input_shape, jitter=True)
        if name == "quick":
            quick = cls(
                supernet=usual_training(steps=500, batch_size=64, rate=LOW_RATE),
                calibration=CalibrationConfig(batches=2, batch_size=256),
                evolution=EvolutionConfig(population=20, top=8, mutations=10, crossovers=10, generations=2),
                retrain=usual_training(steps=QUICK_STEPS, batch_size=64),
                least_of_limit=0.9,
                n_draws=3,
            )
            return suited(quick, input_shape)
        if name == "long":
            return long(cls.preset("quick", input_shape))
        if name == "smoke":
            smoke = cls(
                supernet=usual_training(steps=8, batch_size=32),
                calibration=CalibrationConfig(batches=1, batch_size=64),
                evolution=EvolutionConfig(population=4, top=2, mutations=2, crossovers=2, generations=1),
                retrain=usual_training(steps=8, batch_size=32),
                n_draws=1,
                profile=ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1),
                int8=False,
            )
            return suited(smoke, input_shape)
        raise InvalidValueError(f"unknown preset {name!r}; choose smoke, quick, long or paper")


def _near_limits(search: OpenSearch, cost: str) -> tuple[float, float] | None:
    """Costs that a supernet under limits has to know: from three quarters of the lowest limit to the highest.

    The released code's bins go from 0.88 of its limit to 1.09.
    """
    limits = [one.limit for objective in search.opened.objectives for one in objective.constraints if one.cost == cost]
    return (NEAR * min(limits), max(limits)) if limits else None


def _large_enough(search: OpenSearch, objective: Objective, cost: Cost, least: float) -> Feasible | None:
    """Which rows cost at least a share of their limit; None where there is no limit, or few archs would be left."""
    limits = [one.limit for one in objective.constraints if one.cost == cost.name]
    space, counted = search.space, [one for one in search.costs if not n_unmeasured([one])]
    if not limits or not least:
        return None

    def keeps(rows: Rows) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = cost.cost_rows(space, rows) >= least * min(limits)
        return found

    names = {one.name for one in counted}
    known = replace(objective, constraints=tuple(one for one in objective.constraints if one.cost in names))
    rows = space.decisions.sample(N_DRAWN, np.random.default_rng(0))
    share = float((keeps(rows) & Watch(space, counted).feasible(known)(rows)).mean())
    return keeps if share * space.size() >= LEAST_LARGE else None


@recipe(
    "spos",
    SposConfig,
    summary="single-path one-shot: train a supernet one path a step, search it by evolution under limits, "
    "retrain the winner",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
    auto=AutoMethod(least_epochs=3, least_members=200),
)
def spos(search: OpenSearch, config: SposConfig) -> Found:
    """Single Path One-Shot NAS (Guo et al., arXiv:1904.00420).

    Deviations from the released code: calibration by a cumulative mean; ties broken by age; retraining ends
    without the extra pass over the data that re-estimates batch-norm statistics.
    """
    (cost,) = open_costs([search.space.binned_cost])
    if config.bin_edges:
        check_edges(search.space, cost, config.bin_edges, setting="bin_edges")

    def policy() -> UniformInCostBins:
        edges = config.bin_edges or quantile_edges(
            search.space, cost, search.rng("bins"), n_bins=config.n_bins, within=_near_limits(search, cost.name)
        )
        return UniformInCostBins(search.space, cost, edges)

    shared = search.supernet()
    search.train("supernet", UniformPath(config.supernet), shared, policy)
    return search.find(
        lambda seed: Evolution(search.space, config.evolution, seed=seed),
        search.by_shared(shared, config.calibration),
        lambda objective: _large_enough(search, objective, cost, config.least_of_limit),
    )
