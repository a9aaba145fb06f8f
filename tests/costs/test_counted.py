"""Costs that follow from counting keep the contract of costs."""

from __future__ import annotations

from torch import nn

from archwright.costs import ActivationPeak, BitOps, Cost, Flops, Macs, MemoryAccess, ModelSize, Params
from archwright.nn.ops.quantized import InputQuantizer, QuantizedConv2d, WeightQuantizer
from archwright.spaces import Space, SposBits
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


class TestModelSizeInBits(CostContract):
    """Where the bytes of weights are a decision."""

    def make(self) -> Cost:
        return ModelSize()

    def make_space(self) -> Space:
        return SposBits(input_shape=(3, 8, 8), n_classes=3, widths=(4, 4, 6, 6))


class TestBitOps(CostContract):
    """Of networks with bits; others are refused."""

    def make(self) -> Cost:
        return BitOps()

    def make_space(self) -> Space:
        return SposBits(input_shape=(3, 8, 8), n_classes=3, widths=(4, 4, 6, 6))

    def network(self) -> nn.Module:
        conv = QuantizedConv2d(4, 5, 3, quantize_input=InputQuantizer(4), quantize_weight=WeightQuantizer(2))
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), conv)
