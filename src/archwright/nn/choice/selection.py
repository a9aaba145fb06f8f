"""Which architecture a supernet currently executes: the one piece of state all its choice modules read."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.arch import Value
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError, SpaceError
from archwright.nn.choice.recording import Recording
from archwright.nn.sizes import lazies_in

Weights = Sequence[tuple[int, Tensor | float]]
"""Some values of a decision, by position, each with its weight, a scalar; 1.0 costs no multiplication."""


class _NothingActive(dict[str, int]):
    """The index of a selection before its first activation."""

    def __missing__(self, name: str) -> int:
        raise SpaceError(f"decision {name!r} has no active value; call selection_of(network).activate(arch) first")


class _Relaxed(dict[str, int]):
    """The index while decisions are relaxed: those have no single value that a size could depend on."""

    def __missing__(self, name: str) -> int:
        raise SpaceError(
            f"the network's sizes depend on decision {name!r}, so that it cannot be relaxed; search one path at a time"
        )


class Selection:
    """What a supernet executes, shared by reference among its modules.

    Either one arch, or a weighted mixture of several (`relax`), which is how arch parameters get gradients: they
    belong to whoever computes the weights, never to the network.

    It is a plain attribute, not a module: nothing of it enters a state dict, and `copy.deepcopy` of a
    network yields one new selection that all copied modules share.

    Attributes:
        recording: The decisions the network asked for.
        index: Position of the active value of each decision; inactive decisions are at −1.
        weights: The weighted values of relaxed decisions; None while one arch is executed.
        version: Counts activations, so that values derived from the selection know when they are stale.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.index: dict[str, int] = _NothingActive()
        self.weights: Mapping[str, Weights] | None = None
        self.version = 0

    @property
    def decisions(self) -> DecisionSpace:
        """The decisions the network asked for while it was built."""
        return self.recording.decisions()

    def __deepcopy__(self, memo: dict[int, Any]) -> Selection:
        # what it holds is replaced, never changed, so both may hold it; and weights with a history cannot be copied
        copied = memo[id(self)] = copy.copy(self)
        return copied

    def activate(self, arch: Mapping[str, Value]) -> None:
        """Execute this arch from now on.

        Raises:
            InvalidArchError: If it is no member of the space.
        """
        self.activate_row(self.decisions.row(arch))

    def activate_row(self, row: NDArray[Any]) -> None:
        """Execute the arch of a row (n_decisions,); it is trusted to be a member of the space."""
        self.restore(dict(zip(self.recording.names, row.tolist(), strict=True)), None)

    def relax(self, weights: Mapping[str, Weights], values: Mapping[str, Value] | None = None) -> None:
        """Execute a mixture from now on: at each relaxed decision the weighted sum over its given values.

        An operation's results are summed; a repeat's after each count; an inputs decision's over its subsets.
        A value that is left out does not run, so one value at weight 1 is a single path. An inputs decision
        that is not given keeps all its edges at weight 1, as in DARTS. Numbers cannot be mixed.

        Args:
            weights: By decision.
            values: The one value of further decisions; the largest number, the first operation and the largest
                count where it is not given.

        Raises:
            InvalidArchError: If a decision or value does not exist.
            SpaceError: If a number is given weights; while the network runs, if its sizes depend on a relaxed decision.
        """
        space = self.decisions
        for name, given in weights.items():
            _check_weights(space[name], given)
        single = {
            d.name: d.index(values[d.name]) if values and d.name in values else _default_index(d)
            for d in space
            if d.name not in weights and (d.kind != "inputs" or (values and d.name in values))
        }
        self.restore(_Relaxed(single), dict(weights))

    def state(self) -> tuple[dict[str, int], Mapping[str, Weights] | None]:
        """What is executed now, for `restore`."""
        return self.index, self.weights

    def restore(self, index: dict[str, int], weights: Mapping[str, Weights] | None) -> None:
        """Execute again what `state` gave."""
        self.index, self.weights = index, weights
        self.version += 1


def _check_weights(decision: Decision, weights: Weights) -> None:
    if decision.kind == "number":
        raise SpaceError(f"decision {decision.name!r} chooses a number, and numbers cannot be mixed; give it one value")
    positions = [position for position, _ in weights]
    n = len(decision.values)
    if not positions or len(set(positions)) < len(positions) or not all(0 <= position < n for position in positions):
        raise InvalidArchError(
            f"weights of decision {decision.name!r} are for the positions {positions}; "
            f"give at least one of 0 to {n - 1}, each once"
        )


def _default_index(decision: Decision) -> int:
    if decision.kind == "op":
        return 0
    return max(range(len(decision.values)), key=decision.values.__getitem__)


def selection_of(network: nn.Module) -> Selection:
    """The selection a supernet's modules share.

    Raises:
        SpaceError: If the network has no searched part, or parts of two supernets.
    """
    holders = (holder for module in network.modules() for holder in (module, *lazies_in(module)))
    found = {id(s): s for holder in holders if isinstance(s := getattr(holder, "selection", None), Selection)}
    if len(found) != 1:
        if not found:
            raise SpaceError(
                "the network has no searched part; ask `choose` for at least one: op, number, repeat, inputs"
            )
        raise SpaceError(
            f"the network has parts of {len(found)} supernets; build it with one `space.network(Supernet())`"
        )
    return next(iter(found.values()))
