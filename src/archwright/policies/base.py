"""The contract of a policy: a distribution over the archs of a space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from archwright.core.decisions import Rows

Progress = NDArray[np.float64]
"""How far a training is at each draw, (n,) in [0, 1)."""


class Policy(ABC):
    """A distribution over architectures.

    Attributes:
        has_state: Whether what is drawn depends on more than the generator and the progress, as in a policy that
            learns. One without state is drawn for all steps of a training at once, one with state step by step; its
            state enters checkpoints if it has the methods of `training.steps.Stateful`, as a `LearnedPolicy` does.
    """

    has_state: ClassVar[bool] = False

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        """Draw n archs as rows (n, n_decisions).

        Args:
            n: How many.
            rng: All that is random.
            progress: How far the training is at each draw; None where there is none, which stands for its end.
        """
