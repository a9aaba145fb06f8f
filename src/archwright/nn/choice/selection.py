"""Which architecture a supernet currently executes: the one piece of state all its choice modules read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from torch import nn

from archwright.core.arch import Value
from archwright.core.decisions import DecisionSpace
from archwright.core.errors import SpaceError
from archwright.nn.choice.recording import Recording
from archwright.nn.sizes import lazies_in


class _NothingActive(dict[str, int]):
    """The index of a selection before its first activation."""

    def __missing__(self, name: str) -> int:
        raise SpaceError(f"decision {name!r} has no active value; call selection_of(network).activate(arch) first")


class Selection:
    """The active value of every decision, shared by reference among the modules of one supernet.

    It is a plain attribute, not a module: nothing of it enters a state dict, and `copy.deepcopy` of a
    network yields one new selection that all copied modules share.

    Attributes:
        index: Position of the active value of each decision; inactive decisions are at −1.
        version: Counts activations, so that values derived from the selection know when they are stale.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.index: dict[str, int] = _NothingActive()
        self.version = 0

    @property
    def decisions(self) -> DecisionSpace:
        """The decisions the network asked for while it was built."""
        return self.recording.decisions()

    def activate(self, arch: Mapping[str, Value]) -> None:
        """Execute this arch from now on.

        Raises:
            InvalidArchError: If it is no member of the space.
        """
        self.activate_row(self.decisions.row(arch))

    def activate_row(self, row: NDArray[Any]) -> None:
        """Execute the arch of a row (n_decisions,); it is trusted to be a member of the space."""
        self.index = dict(zip(self.recording.names, row.tolist(), strict=True))
        self.version += 1


def selection_of(network: nn.Module) -> Selection:
    """The selection a supernet's modules share.

    Raises:
        SpaceError: If the network has no searched part, or parts of two supernets.
    """
    holders = (holder for module in network.modules() for holder in (module, *lazies_in(module)))
    found = {id(s): s for holder in holders if isinstance(s := getattr(holder, "selection", None), Selection)}
    if len(found) != 1:
        what = "no searched part" if not found else f"parts of {len(found)} supernets"
        raise SpaceError(f"the network has {what}; build it with one `space.network(Supernet())`")
    return next(iter(found.values()))
