"""What tests of archwright and of plug-ins share: contracts to inherit, toy spaces, a toy task.

Nothing in the package imports this part. It needs no pytest until a test runs.
"""

import sys

if "pytest" in sys.modules:  # then asserts of the contracts tell what they compared, like those of a test file
    import pytest

    pytest.register_assert_rewrite("archwright.testing.contracts")

from archwright.testing.contracts import (
    CostContract,
    EvaluatorContract,
    FaultContract,
    RunnerContract,
    SpaceContract,
    StoreContract,
    StrategyContract,
)
from archwright.testing.evaluators import Scripted
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
from archwright.testing.tasks import toy_task

__all__ = [
    "BranchSpace",
    "CostContract",
    "ElasticSpace",
    "EvaluatorContract",
    "FaultContract",
    "LooseEndsSpace",
    "MBConvSpace",
    "NumberSpace",
    "RunnerContract",
    "Scripted",
    "SpaceContract",
    "StagesSpace",
    "StoreContract",
    "StrategyContract",
    "StrideSpace",
    "conditional_decisions",
    "toy_task",
]
