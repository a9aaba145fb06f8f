"""Ask/tell search."""

from archwright.strategies.base import Strategy, draw_feasible
from archwright.strategies.evolution import Evolution, EvolutionConfig
from archwright.strategies.random import Random

__all__ = ["Evolution", "EvolutionConfig", "Random", "Strategy", "draw_feasible"]
