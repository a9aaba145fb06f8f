"""One paper system a module: a config and a thin composition of the parts. `train` is the part without a search."""

from archwright.recipes.asha import AshaConfig, asha
from archwright.recipes.auto import AutoConfig, auto
from archwright.recipes.darts import DartsConfig, darts
from archwright.recipes.darts_first_order import DartsFirstOrderConfig, darts_first_order
from archwright.recipes.darts_rnn import DartsRnnConfig, darts_rnn
from archwright.recipes.enas_macro import EnasMacroConfig, enas_macro
from archwright.recipes.enas_micro import EnasMicroConfig, enas_micro
from archwright.recipes.enas_rnn import EnasRnnConfig, enas_rnn
from archwright.recipes.fbnet import FBNetConfig, fbnet
from archwright.recipes.grid_search import GridSearchConfig, grid_search
from archwright.recipes.lamarckian import LamarckianConfig, lamarckian
from archwright.recipes.mnasnet import MnasNetConfig, mnasnet
from archwright.recipes.nas_rl import NasRlConfig, nas_rl
from archwright.recipes.nas_rl_rnn import NasRlRnnConfig, nas_rl_rnn
from archwright.recipes.nasnet import NasNetConfig, nasnet
from archwright.recipes.nsga2 import Nsga2SearchConfig, nsga2
from archwright.recipes.path_dropout import PathDropoutConfig, path_dropout
from archwright.recipes.predictor import PredictorSearchConfig, predictor
from archwright.recipes.proxylessnas import ProxylessNasConfig, proxylessnas
from archwright.recipes.proxylessnas_rl import ProxylessNasRlConfig, proxylessnas_rl
from archwright.recipes.random_search import RandomSearchConfig, random_search
from archwright.recipes.regularized_evolution import EvolutionSearchConfig, regularized_evolution
from archwright.recipes.snas import SnasConfig, snas
from archwright.recipes.spos import SposConfig, spos
from archwright.recipes.train import TrainConfig, train

__all__ = [
    "AshaConfig",
    "AutoConfig",
    "DartsConfig",
    "DartsFirstOrderConfig",
    "DartsRnnConfig",
    "EnasMacroConfig",
    "EnasMicroConfig",
    "EnasRnnConfig",
    "EvolutionSearchConfig",
    "FBNetConfig",
    "GridSearchConfig",
    "LamarckianConfig",
    "MnasNetConfig",
    "NasNetConfig",
    "NasRlConfig",
    "NasRlRnnConfig",
    "Nsga2SearchConfig",
    "PathDropoutConfig",
    "PredictorSearchConfig",
    "ProxylessNasConfig",
    "ProxylessNasRlConfig",
    "RandomSearchConfig",
    "SnasConfig",
    "SposConfig",
    "TrainConfig",
    "asha",
    "auto",
    "darts",
    "darts_first_order",
    "darts_rnn",
    "enas_macro",
    "enas_micro",
    "enas_rnn",
    "fbnet",
    "grid_search",
    "lamarckian",
    "mnasnet",
    "nas_rl",
    "nas_rl_rnn",
    "nasnet",
    "nsga2",
    "path_dropout",
    "predictor",
    "proxylessnas",
    "proxylessnas_rl",
    "random_search",
    "regularized_evolution",
    "snas",
    "spos",
    "train",
]
