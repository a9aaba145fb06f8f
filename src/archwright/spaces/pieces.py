"""How a space can help to compute its costs: by parts whose cost depends on few decisions each, or by a formula."""

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
"""Computes figures (n,) by name from rows (n, n_decisions): params, macs, model_size_bytes or some of them."""


@dataclass(frozen=True)
class CostPiece:
    """Parts of a network whose cost depends on the same few decisions.

    A space whose supernet is too large to be counted lists them (`Space.cost_pieces`): each form of a part is then
    counted once by itself, and the cost of everything else is taken from one whole network.

    Attributes:
        names: Names of the decisions.
        keys: Gives a key for the form of each such part, from the decisions' values (None for an inactive decision);
            two forms have the same key only if they cost the same.
        form: Makes the form of a key; it is called with meta as torch's default device.
    """

    names: tuple[str, ...]
    keys: Callable[[tuple[Any, ...]], Sequence[Hashable]]
    form: Callable[..., Form]
