"""Costs that follow from counting keep the contract of costs."""

from __future__ import annotations

from archwright.costs import ActivationPeak, Cost, Flops, Macs, MemoryAccess, ModelSize, Params
from archwright.spaces import Space
from archwright.testing import CostContract, StrideSpace


class TestParams(CostContract):
    def make(self) -> Cost:
        return Params()


class TestMacs(CostContract):
    def make(self) -> Cost:
        return Macs()


class TestMacsWithoutTables(CostContract):
    """In a space that is not additive, every row is counted."""

    def make(self) -> Cost:
        return Macs()

    def make_space(self) -> Space:
        return StrideSpace()


class TestFlops(CostContract):
    def make(self) -> Cost:
        return Flops()


class TestMemoryAccess(CostContract):
    def make(self) -> Cost:
        return MemoryAccess()


class TestActivationPeak(CostContract):
    def make(self) -> Cost:
        return ActivationPeak()


class TestModelSize(CostContract):
    def make(self) -> Cost:
        return ModelSize()
