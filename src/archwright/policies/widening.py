"""A uniform distribution that opens the values of decisions one after the other while a training goes on."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.policies.base import Policy, Progress
from archwright.spaces.base import Space


@listed(
    "policy",
    "widening",
    summary="uniform over few values of each decision at first, and over all of them in the end",
    source="progressive shrinking of Cai et al., ICLR 2020, arXiv:1908.09791; the growing budget of SMASH, "
    "Brock et al., ICLR 2018, arXiv:1708.05344",
)
class Widening(Policy):
    """Decision by decision, each uniform over its first values, of which there are more the further the training is.

    For a decision of k values the training up to the progress `until` has k equal parts; in the first it takes one
    value, and with each part one more is open. Without a progress all are.

    Args:
        space: Where archs come from.
        names: The decisions that widen; the others are open from the start. All by default.
        until: Progress in (0, 1] at which the last of these parts ends.
        from_last: Whether values open from the last one down, as where they ascend and the largest network is
            trained first (progressive shrinking).

    Raises:
        UnknownNameError: If a name is no decision of the space.
    """

    def __init__(
        self, space: Space, names: Collection[str] | None = None, *, until: float = 1.0, from_last: bool = False
    ) -> None:
        check_range("until", until, 1e-9, 1.0)
        self.decisions, self.until, self.from_last = space.decisions, until, from_last
        self.widens = np.zeros(len(self.decisions), dtype=bool)
        self.widens[[self.decisions.position(name) for name in (self.decisions.names if names is None else names)]] = 1

    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        n_values = self.decisions.n_values
        if progress is not None and np.shape(progress) != (n,):
            raise InvalidValueError(f"progress of {n} draws has shape {np.shape(progress)}; give one number for each")
        share = np.ones(n) if progress is None else np.asarray(progress) / self.until
        n_open = np.minimum(1 + np.floor(share[:, None] * n_values), n_values)
        places = np.floor(rng.random((n, len(n_values))) * np.where(self.widens, n_open, n_values)).astype(np.int16)
        return self.decisions.canonical(n_values - 1 - places if self.from_last else places)
