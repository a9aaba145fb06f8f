"""NSGA-II (Deb et al., 2002) over accuracy and costs, each candidate trained on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.nsga2 import Nsga2, Nsga2Config


@dataclass(frozen=True)
class Nsga2SearchConfig(TrialsConfig):
    """Numbers of an NSGA-II search; costs become goals by `--goal`.

    Attributes:
        nsga2: The search; by default the lengths of Lu et al. (GECCO 2019): 40 networks, 30 generations.
    """

    nsga2: Nsga2Config = field(default_factory=lambda: Nsga2Config(population=40, generations=30))

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        return {
            "smoke": {"nsga2": Nsga2Config(population=3, generations=1)},
            "quick": {"nsga2": Nsga2Config(population=8, generations=2)},
            "paper": {},
        }


@recipe(
    "nsga2",
    Nsga2SearchConfig,
    summary="NSGA-II: train generations towards the trade-off of accuracy and costs, retrain the best",
    source="Deb et al., IEEE Trans. Evol. Comput. 2002; in NAS: Lu et al., GECCO 2019, arXiv:1810.03522",
)
def nsga2(search: OpenSearch, config: Nsga2SearchConfig) -> Found:
    """Evolution towards a trade-off, each candidate trained from scratch (Deb et al., 2002; Lu et al., GECCO 2019).

    The winner is the most accurate within the limits; `result.pareto` and the page have the whole front. Deviations
    from Lu et al.: any space, and no Bayesian network that learns from the front at the end.
    """
    return search.find(lambda seed: Nsga2(search.space, config.nsga2, seed=seed), search.from_scratch(config.training))
