"""NAS-Bench-201 and the size space of NATS-Bench."""

from archwright.spaces.nasbench201.topology import NasBench201

__all__ = ["NasBench201"]
