"""One paper system a module: a config and a thin composition of the parts. `train` is the part without a search."""

from archwright.recipes.asha import AshaConfig, asha
from archwright.recipes.auto import AutoConfig, auto
from archwright.recipes.grid_search import GridSearchConfig, grid_search
from archwright.recipes.lamarckian import LamarckianConfig, lamarckian
from archwright.recipes.nsga2 import Nsga2SearchConfig, nsga2
from archwright.recipes.predictor import PredictorSearchConfig, predictor
from archwright.recipes.random_search import RandomSearchConfig, random_search
from archwright.recipes.regularized_evolution import EvolutionSearchConfig, regularized_evolution
from archwright.recipes.spos import SposConfig, spos
from archwright.recipes.train import TrainConfig, train

__all__ = [
    "AshaConfig",
    "AutoConfig",
    "EvolutionSearchConfig",
    "GridSearchConfig",
    "LamarckianConfig",
    "Nsga2SearchConfig",
    "PredictorSearchConfig",
    "RandomSearchConfig",
    "SposConfig",
    "TrainConfig",
    "asha",
    "auto",
    "grid_search",
    "lamarckian",
    "nsga2",
    "predictor",
    "random_search",
    "regularized_evolution",
    "spos",
    "train",
]
