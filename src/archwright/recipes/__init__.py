"""One paper system a module: a config and a thin composition of the parts. `train` is the part without a search."""

from archwright.recipes.auto import AutoConfig, auto
from archwright.recipes.grid_search import GridSearchConfig, grid_search
from archwright.recipes.random_search import RandomSearchConfig, random_search
from archwright.recipes.regularized_evolution import EvolutionSearchConfig, regularized_evolution
from archwright.recipes.spos import SposConfig, spos
from archwright.recipes.train import TrainConfig, train

__all__ = [
    "AutoConfig",
    "EvolutionSearchConfig",
    "GridSearchConfig",
    "RandomSearchConfig",
    "SposConfig",
    "TrainConfig",
    "auto",
    "grid_search",
    "random_search",
    "regularized_evolution",
    "spos",
    "train",
]
