"""Distributions over architectures."""

from archwright.policies.base import Policy
from archwright.policies.uniform import Uniform, UniformInCostBins, quantile_edges

__all__ = ["Policy", "Uniform", "UniformInCostBins", "quantile_edges"]
