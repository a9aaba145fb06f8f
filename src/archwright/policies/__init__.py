"""Distributions over architectures."""

from archwright.policies.base import Policy
from archwright.policies.uniform import Uniform, UniformInCostBins, check_edges, quantile_edges

__all__ = ["Policy", "Uniform", "UniformInCostBins", "check_edges", "quantile_edges"]
