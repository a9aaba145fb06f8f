"""Ask/tell search."""

from archwright.strategies.base import Strategy, draw_feasible
from archwright.strategies.evolution import Evolution, EvolutionConfig
from archwright.strategies.grid import Grid, GridConfig
from archwright.strategies.random import Random
from archwright.strategies.regularized_evolution import RegularizedEvolution, RegularizedEvolutionConfig
from archwright.strategies.reinforce import Reinforce, ReinforceConfig

__all__ = [
    "Evolution",
    "EvolutionConfig",
    "Grid",
    "GridConfig",
    "Random",
    "RegularizedEvolution",
    "RegularizedEvolutionConfig",
    "Reinforce",
    "ReinforceConfig",
    "Strategy",
    "draw_feasible",
]
