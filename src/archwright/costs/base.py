"""The contract of a cost: a named figure of a network, smaller is cheaper, that needs no data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.tables.scopes import Probabilities
from archwright.nn.inputs import Form
from archwright.spaces.base import Space


class Cost(ABC):
    """A cost of networks.

    Attributes:
        name: Its name, as in `--limit NAME=VALUE`.
        unit: Unit of its values; empty for counts.
        counts_work: Whether it is a sum over operations, which leaves out those that have no rule.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    counts_work: ClassVar[bool] = False

    @abstractmethod
    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        """The cost of one network for one input of that shape (without the batch), or for a signature."""

    @abstractmethod
    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        """The cost (n,) of the stand-alone network of each row (n, n_decisions) of a space."""

    def is_summed(self, space: Space) -> bool:
        """Whether rows of that space are sums looked up in a table, which takes microseconds; else each is computed."""
        return True

    def expected(self, space: Space, probabilities: Probabilities) -> Tensor:
        """The expected cost if every decision of a space is drawn independently; only additive costs have it.

        Differentiable in probabilities that are tensors.

        Args:
            space: The space.
            probabilities: For each decision by name, the probability of each of its values if it is active.

        Returns:
            A float64 scalar.

        Raises:
            InvalidValueError: If the cost is not additive there, or probabilities do not fit.
        """
        raise InvalidValueError(f"{self.name} is no sum over the parts of a network; it has no expected value")
