"""Grid search, each candidate trained on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.grid import Grid, GridConfig


@dataclass(frozen=True)
class GridSearchConfig(TrialsConfig):
    """Numbers of a grid search.

    Attributes:
        grid: Which members, and how many.
    """

    grid: GridConfig = field(default_factory=GridConfig)

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        return {"smoke": {"grid": GridConfig(n_trials=4)}, "quick": {"grid": GridConfig(n_trials=30)}}


@recipe(
    "grid",
    GridSearchConfig,
    summary="grid search: train every architecture within the limits, in a fixed order, retrain the best",
)
def grid_search(search: OpenSearch, config: GridSearchConfig) -> Found:
    """Every feasible architecture once, each trained from scratch.

    Where it tries all, the random baseline tries the same ones in other trainings: how far the two winners lie apart
    is the noise of choosing.
    """
    return search.find(lambda seed: Grid(search.space, config.grid, seed=seed), search.from_scratch(config.training))
