"""Asynchronous successive halving (Li et al., MLSys 2020): many short trainings, longer ones of the best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.halving import Asha, HalvingConfig


@dataclass(frozen=True)
class AshaConfig(TrialsConfig):
    """Numbers of an asynchronous successive halving.

    Attributes:
        halving: The search; its budgets are optimizer steps of a candidate's training.
    """

    halving: HalvingConfig = field(
        default_factory=lambda: HalvingConfig(budgets=(400, 1_600, 6_400, 25_600), eta=4, n_trials=1_000, lookahead=25)
    )

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        return {
            "smoke": {"halving": HalvingConfig(budgets=(2, 4), eta=2, n_trials=6)},
            "quick": {"halving": HalvingConfig(budgets=(50, 150, 450), n_trials=45, lookahead=2)},
            "paper": {},
        }


@recipe(
    "asha",
    AshaConfig,
    summary="asynchronous successive halving: many short trainings, longer ones of the best, retrain the best",
    source="Li et al., MLSys 2020, arXiv:1810.05934",
)
def asha(search: OpenSearch, config: AshaConfig) -> Found:
    """Architectures are trained for a few steps; the best of them anew for more, and so on (Li et al., MLSys 2020).

    `paper` has the paper's reduction factor of 4 and 25 workers. Deviations: a promotion trains from scratch instead of
    going on, so that a short training is a whole one, with its own schedule; only the longest may win.
    """
    return search.find(lambda seed: Asha(search.space, config.halving, seed=seed), search.from_scratch(config.training))
