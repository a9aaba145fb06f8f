"""What every member of a family promises, as test classes to inherit.

A test class names its member in `make` and gets the family's tests:

    class TestMySpace(SpaceContract):
        def make(self) -> Space:
            return MySpace()

They are plain classes of `test_*` methods with plain asserts: pytest is needed to run them, not to import them.
"""

from archwright.testing.contracts.cost import CostContract
from archwright.testing.contracts.evaluator import EvaluatorContract
from archwright.testing.contracts.faults import FaultContract
from archwright.testing.contracts.runner import RunnerContract
from archwright.testing.contracts.space import SpaceContract
from archwright.testing.contracts.store import StoreContract
from archwright.testing.contracts.strategy import StrategyContract
from archwright.testing.contracts.task import TaskContract

__all__ = [
    "CostContract",
    "EvaluatorContract",
    "FaultContract",
    "RunnerContract",
    "SpaceContract",
    "StoreContract",
    "StrategyContract",
    "TaskContract",
]
