"""Search guided by a predictor, each candidate trained on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.core.config import MAX_TRIALS, check_range
from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.predictor_guided import PredictorConfig, PredictorGuided, worth


@dataclass(frozen=True)
class PredictorSearchConfig(TrialsConfig):
    """Numbers of a search guided by a predictor.

    Attributes:
        n_trials: Architectures tried; by default as many as BANANAS trained on DARTS's space.
        predictor: The model, what it reads, and what promises most.
    """

    n_trials: int = 150
    predictor: PredictorConfig = field(default_factory=PredictorConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_trials", self.n_trials, 1, MAX_TRIALS)

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        return {
            "smoke": {"n_trials": 4, "predictor": PredictorConfig(start=2, pool=64)},
            "quick": {"n_trials": 24, "predictor": PredictorConfig(start=8)},
            "paper": {},
        }


@recipe(
    "predictor",
    PredictorSearchConfig,
    summary="a model of the trials so far chooses what is trained next: a Gaussian process on graph features",
    source="White et al., AAAI 2021, arXiv:1910.11858 (BANANAS); Kadlecová et al., NeurIPS 2024, arXiv:2408.16591",
)
def predictor(search: OpenSearch, config: PredictorSearchConfig) -> Found:
    """Random architectures, then those that a predictor promises most of, each trained from scratch.

    Deviations from BANANAS: the predictor is a Gaussian process on graph features unless another is named, and one
    architecture is chosen at a time.
    """

    def strategy(seed: int) -> PredictorGuided:
        guided = PredictorGuided(search.space, config.predictor, seed=seed)
        guided.resize(config.n_trials)
        return guided

    found = search.find(strategy, search.from_scratch(config.training))
    for each in found.searches:
        if (tau := worth(search.space, config.predictor, each.objective, each.trials)) is not None:
            search.run.log(
                f"the predictor's cross-validated Kendall's tau over its {len(each.trials)} trials: {tau:.3f}"
            )
    return found
