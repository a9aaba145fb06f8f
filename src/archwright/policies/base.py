"""The contract of a policy: a distribution over the archs of a space."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from archwright.core.decisions import Rows


class Policy(ABC):
    """A distribution over architectures."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw n archs as rows (n, n_decisions)."""
