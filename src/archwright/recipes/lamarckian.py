"""Lamarckian evolution: children of good networks inherit their weights and are trained for a few steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from archwright.core.config import check_range
from archwright.evaluators.inherited import Inherited
from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.regularized_evolution import RegularizedEvolution, RegularizedEvolutionConfig


@dataclass(frozen=True)
class LamarckianConfig(TrialsConfig):
    """Numbers of a Lamarckian evolution.

    Attributes:
        evolution: The search.
        child_steps: Optimizer steps of a child; `training` is that of the first population.
    """

    evolution: RegularizedEvolutionConfig = field(default_factory=RegularizedEvolutionConfig)
    child_steps: int = 3_500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("child_steps", self.child_steps, 1, 100_000_000)

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        few = partial(RegularizedEvolutionConfig, identity_probability=0.0)
        return {
            "smoke": {"evolution": few(population=3, sample=2, cycles=5), "child_steps": 4},
            "quick": {"evolution": few(population=6, sample=3, cycles=36, lookahead=2), "child_steps": 100},
            "paper": {},
        }


@recipe(
    "lamarckian",
    LamarckianConfig,
    summary="evolution whose children inherit the weights of their parents and train on briefly; retrain the best",
    source="Elsken et al., ICLR 2019, arXiv:1804.09081; Chen et al., ICLR 2016, arXiv:1511.05641 (Net2Net)",
)
def lamarckian(search: OpenSearch, config: LamarckianConfig) -> Found:
    """Aging evolution in which a child begins with its parent's weights (LEMONADE's inheritance, one goal).

    A child has the weights that both have in the space's supernet; new parts begin so that the function stays the same
    where that is possible. `paper` trains children for ten epochs of 50,000 images, about as LEMONADE does. Deviations:
    one population by age instead of a front sampled by density.
    """
    folder = None if search.run.folder is None else search.run.path("inherited")
    evaluator = Inherited(
        search.space, search.task, config.training, steps=config.child_steps, folder=folder, device=search.device
    )
    return search.find(lambda seed: RegularizedEvolution(search.space, config.evolution, seed=seed), evaluator)
