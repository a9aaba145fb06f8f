"""Helpers for the tests of archwright and of plug-ins: contracts to inherit, toy spaces, toy tasks.

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
    LearnedPolicyContract,
    PolicyContract,
    RunnerContract,
    SpaceContract,
    StoreContract,
    StrategyContract,
    TaskContract,
    WeightSharingContract,
)
from archwright.testing.evaluators import Scripted
from archwright.testing.language import RnnNodes, RnnTied, RnnTiny
from archwright.testing.pictures import PictureSpace, PictureTask
from archwright.testing.sequences import ReversalTask, SequenceSpace
from archwright.testing.spaces import (
    BranchSpace,
    EdgesSpace,
    ElasticSpace,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    StagesSpace,
    StrideSpace,
    conditional_decisions,
)
from archwright.testing.tasks import toy_task, toy_text
from archwright.testing.weights import ToyHypernetwork

__all__ = [
    "BranchSpace",
    "CostContract",
    "EdgesSpace",
    "ElasticSpace",
    "EvaluatorContract",
    "FaultContract",
    "LearnedPolicyContract",
    "LooseEndsSpace",
    "MBConvSpace",
    "NumberSpace",
    "PictureSpace",
    "PictureTask",
    "PolicyContract",
    "ReversalTask",
    "RnnNodes",
    "RnnTied",
    "RnnTiny",
    "RunnerContract",
    "Scripted",
    "SequenceSpace",
    "SpaceContract",
    "StagesSpace",
    "StoreContract",
    "StrategyContract",
    "StrideSpace",
    "TaskContract",
    "ToyHypernetwork",
    "WeightSharingContract",
    "conditional_decisions",
    "toy_task",
    "toy_text",
]
