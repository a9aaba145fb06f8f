"""Costs of networks: what is spent on one forward pass."""

from archwright.costs.base import Cost
from archwright.costs.count import FREE_BY_CONVENTION, Count, count
from archwright.costs.counted import Flops, Macs, Params
from archwright.costs.describe import cost, describe
from archwright.costs.limits import Watch, open_costs
from archwright.costs.nasbench201 import NasBench201Flops

__all__ = [
    "FREE_BY_CONVENTION",
    "Cost",
    "Count",
    "Flops",
    "Macs",
    "NasBench201Flops",
    "Params",
    "Watch",
    "cost",
    "count",
    "describe",
    "open_costs",
]
