"""Where evaluations execute: in this process, or in several."""

from archwright.runners.base import Outcome, Runner, Running
from archwright.runners.pool import ProcessPool
from archwright.runners.serial import Serial

__all__ = ["Outcome", "ProcessPool", "Runner", "Running", "Serial"]
