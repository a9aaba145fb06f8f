"""The toy spaces keep the contract of spaces: between them, every request of a chooser and every elastic layer."""

from __future__ import annotations

from archwright.spaces import Space
from archwright.testing import (
    BranchSpace,
    ElasticSpace,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    SpaceContract,
    StagesSpace,
    StrideSpace,
)


class OneStage(StagesSpace):
    """Recording all stages takes seconds."""

    n_stages = 1


class TestElasticSpace(SpaceContract):
    def make(self) -> Space:
        return ElasticSpace()


class TestBranchSpace(SpaceContract):
    def make(self) -> Space:
        return BranchSpace()


class TestNumberSpace(SpaceContract):
    def make(self) -> Space:
        return NumberSpace()


class TestStrideSpace(SpaceContract):
    def make(self) -> Space:
        return StrideSpace()


class TestStagesSpace(SpaceContract):
    def make(self) -> Space:
        return OneStage()


class TestMBConvSpace(SpaceContract):
    def make(self) -> Space:
        return MBConvSpace()


class TestLooseEndsSpace(SpaceContract):
    can_be_relaxed = False

    def make(self) -> Space:
        return LooseEndsSpace()
