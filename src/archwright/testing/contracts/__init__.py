"""Contracts: the tests that every member of a family has to pass, as classes to inherit.

A test class makes its member in `make` and inherits the family's tests:

    class TestMySpace(SpaceContract):
        def make(self) -> Space:
            return MySpace()

They are plain classes of `test_*` methods with plain asserts: pytest is needed to run them, not to import them.
"""

from archwright.testing.contracts.cost import CostContract
from archwright.testing.contracts.evaluator import EvaluatorContract
from archwright.testing.contracts.faults import FaultContract
from archwright.testing.contracts.policy import LearnedPolicyContract, PolicyContract
from archwright.testing.contracts.runner import RunnerContract
from archwright.testing.contracts.space import SpaceContract
from archwright.testing.contracts.store import StoreContract
from archwright.testing.contracts.strategy import StrategyContract
from archwright.testing.contracts.task import TaskContract
from archwright.testing.contracts.weight_sharing import WeightSharingContract

__all__ = [
    "CostContract",
    "EvaluatorContract",
    "FaultContract",
    "LearnedPolicyContract",
    "PolicyContract",
    "RunnerContract",
    "SpaceContract",
    "StoreContract",
    "StrategyContract",
    "TaskContract",
    "WeightSharingContract",
]
