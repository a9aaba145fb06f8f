"""What tests of archwright and of plug-ins share: toy spaces.

Nothing in the package imports this part.
"""

from archwright.testing.spaces import (
    BranchSpace,
    ElasticSpace,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    StagesSpace,
    StrideSpace,
    conditional_decisions,
)

__all__ = [
    "BranchSpace",
    "ElasticSpace",
    "LooseEndsSpace",
    "MBConvSpace",
    "NumberSpace",
    "StagesSpace",
    "StrideSpace",
    "conditional_decisions",
]
