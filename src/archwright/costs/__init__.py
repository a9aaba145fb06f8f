"""Costs of networks: what is spent on one forward pass."""

from archwright.costs.base import Cost
from archwright.costs.count import FREE_BY_CONVENTION, Count, count
from archwright.costs.counted import ActivationPeak, BitOps, Flops, Macs, MemoryAccess, ModelSize, Params
from archwright.costs.describe import cost, describe
from archwright.costs.latency import Latency, OnnxLatency, TorchLatency, measure_latency
from archwright.costs.limits import Watch, open_costs
from archwright.costs.lookup import LookupTable, SpaceTable
from archwright.costs.nasbench201 import NasBench201Flops
from archwright.costs.profiling import ProfileConfig, profile

__all__ = [
    "FREE_BY_CONVENTION",
    "ActivationPeak",
    "BitOps",
    "Cost",
    "Count",
    "Flops",
    "Latency",
    "LookupTable",
    "Macs",
    "MemoryAccess",
    "ModelSize",
    "NasBench201Flops",
    "OnnxLatency",
    "Params",
    "ProfileConfig",
    "SpaceTable",
    "TorchLatency",
    "Watch",
    "cost",
    "count",
    "describe",
    "measure_latency",
    "open_costs",
    "profile",
]
