"""One paper system a module: a config and a thin composition of the parts. `train` is the part without a search."""

from archwright.recipes.spos import SposConfig, spos
from archwright.recipes.train import TrainConfig, train

__all__ = ["SposConfig", "TrainConfig", "spos", "train"]
