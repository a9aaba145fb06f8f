"""Costs of networks: parameters, operations, memory and time of one forward pass."""

from archwright.costs.base import Cost
from archwright.costs.counted import ActivationPeak, BitOps, Flops, Macs, MemoryAccess, ModelSize, Params
from archwright.costs.counting.count import FREE_BY_CONVENTION, Count, count
from archwright.costs.describe import cost, describe
from archwright.costs.latency import Latency, OnnxLatency, TorchLatency, latency_of, measure_latency
from archwright.costs.nasbench201 import NasBench201Flops
from archwright.costs.profiling.bundle import Bundle, write_bundle
from archwright.costs.profiling.measurements import read_measurements
from archwright.costs.profiling.profile import ProfileConfig, profile
from archwright.costs.tables.latencies import LookupTable, SpaceTable, open_space_table
from archwright.costs.watch import Watch, open_costs

__all__ = [
    "FREE_BY_CONVENTION",
    "ActivationPeak",
    "BitOps",
    "Bundle",
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
    "latency_of",
    "measure_latency",
    "open_costs",
    "open_space_table",
    "profile",
    "read_measurements",
    "write_bundle",
]
