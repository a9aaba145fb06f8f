"""What a space may say about its costs: the parts of its network whose cost depends on few decisions at a time, or all
of it in closed form."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from archwright.core.decisions import Rows

Form = tuple[nn.Module, tuple[int, ...]]
"""A module and the shape of its input without the batch."""

CostFormula = Callable[[Rows], Mapping[str, NDArray[np.float64]]]
"""From rows (n, n_decisions) to figures (n,) by name: params, macs, model_size_bytes or some of them."""


@dataclass(frozen=True)
class CostPiece:
    """Parts of a network that some decisions change together.

    A space whose supernet is too large to be counted lists them (`Space.cost_pieces`): then each form of a part is
    counted once by itself, and all else is taken from one whole network.

    Attributes:
        names: The decisions.
        keys: From their values, None for one that is not active, to a key for the form of each such part, the same
            key only for the same cost.
        form: From a key to that form; called with torch's default device meta.
    """

    names: tuple[str, ...]
    keys: Callable[[tuple[Any, ...]], Sequence[Hashable]]
    form: Callable[..., Form]
