"""Random search, each candidate trained on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archwright.core.config import MAX_TRIALS, check_range
from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import AutoMethod, recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.random import Random


@dataclass(frozen=True)
class RandomSearchConfig(TrialsConfig):
    """Numbers of a random search; `paper` spends what Real et al. gave it beside evolution.

    Attributes:
        n_trials: Architectures tried.
    """

    n_trials: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_trials", self.n_trials, 1, MAX_TRIALS)

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        return {"smoke": {"n_trials": 4}, "quick": {"n_trials": 20}, "paper": {}}


@recipe(
    "random",
    RandomSearchConfig,
    summary="random search: train architectures drawn uniformly within the limits, retrain the best",
    source="Li & Talwalkar, UAI 2019, arXiv:1902.07638",
    auto=AutoMethod(),
)
def random_search(search: OpenSearch, config: RandomSearchConfig) -> Found:
    """Uniform over the feasible architectures, none twice, each trained from scratch (Li and Talwalkar, UAI 2019).

    It is its own baseline: no second random search is run.
    """
    return search.find(
        lambda seed: Random(search.space, n_trials=config.n_trials, seed=seed), search.from_scratch(config.training)
    )
