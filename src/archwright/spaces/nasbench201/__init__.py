"""NAS-Bench-201: its cell space and, from NATS-Bench, its size space."""

from archwright.spaces.nasbench201.size import NasBench201Size
from archwright.spaces.nasbench201.topology import NasBench201

__all__ = ["NasBench201", "NasBench201Size"]
