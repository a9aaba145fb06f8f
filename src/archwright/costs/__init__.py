"""Costs of networks: what is spent on one forward pass."""

from archwright.costs.base import Cost
from archwright.costs.count import FREE_BY_CONVENTION, Count, count
from archwright.costs.counted import ActivationPeak, Flops, Macs, MemoryAccess, ModelSize, Params
from archwright.costs.describe import cost, describe
from archwright.costs.limits import Watch, open_costs

__all__ = [
    "FREE_BY_CONVENTION",
    "ActivationPeak",
    "Cost",
    "Count",
    "Flops",
    "Macs",
    "MemoryAccess",
    "ModelSize",
    "Params",
    "Watch",
    "cost",
    "count",
    "describe",
    "open_costs",
]
