"""One paper system a module: a config and a thin composition of the parts. `train` is the part without a search."""

from archwright.recipes.black_box import (
    EvolutionSearchConfig,
    GridSearchConfig,
    RandomSearchConfig,
    grid_search,
    random_search,
    regularized_evolution,
)
from archwright.recipes.spos import SposConfig, spos
from archwright.recipes.train import TrainConfig, train

__all__ = [
    "EvolutionSearchConfig",
    "GridSearchConfig",
    "RandomSearchConfig",
    "SposConfig",
    "TrainConfig",
    "grid_search",
    "random_search",
    "regularized_evolution",
    "spos",
    "train",
]
