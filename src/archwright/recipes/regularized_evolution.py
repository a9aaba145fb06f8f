"""Regularized evolution (Real et al., AAAI 2019, arXiv:1802.01548), each candidate trained on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.regularized_evolution import RegularizedEvolution, RegularizedEvolutionConfig


@dataclass(frozen=True)
class EvolutionSearchConfig(TrialsConfig):
    """Numbers of a regularized evolution.

    Attributes:
        evolution: The search.
    """

    evolution: RegularizedEvolutionConfig = field(default_factory=RegularizedEvolutionConfig)

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        # so short a search cannot afford to train an arch twice
        few = partial(RegularizedEvolutionConfig, identity_probability=0.0)
        return {
            "smoke": {"evolution": few(population=3, sample=2, cycles=5)},
            "quick": {"evolution": few(population=8, sample=3, cycles=24, lookahead=2)},
            "paper": {},
        }


@recipe(
    "regularized-evolution",
    EvolutionSearchConfig,
    summary="aging evolution: train mutants of good architectures while the oldest die, retrain the best",
    source="Real et al., AAAI 2019, arXiv:1802.01548",
)
def regularized_evolution(search: OpenSearch, config: EvolutionSearchConfig) -> Found:
    """Regularized evolution (Real et al., arXiv:1802.01548), each candidate trained from scratch.

    Deviations: those of the strategy; trainings have neither path dropout nor an auxiliary head; candidates are
    trained at the final training's rates, as the paper's supplement with theirs was not at hand.
    """
    return search.find(
        lambda seed: RegularizedEvolution(search.space, config.evolution, seed=seed),
        search.from_scratch(config.training),
    )
