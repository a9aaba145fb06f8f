"""Check, before any search, that the shapes of a space's network fit whatever is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.decisions import Decision, DecisionSpace, Rows
from archwright.core.errors import SpaceError
from archwright.nn.choice import selection_of
from archwright.nn.choice.modules import active_modules
from archwright.nn.elastic.layers import Elastic
from archwright.nn.inputs import Signature, call, tensors_of
from archwright.nn.meta import ShapesOnly
from archwright.nn.sizes import current

N_TRIED = 256
N_INPUTS = 2


@dataclass(frozen=True)
class Failure:
    """The layer in which a forward pass failed, and the error message."""

    layer: str
    message: str


def check_shapes(network: nn.Module, decisions: DecisionSpace, signature: Signature, device: str = "meta") -> None:
    """Run the smallest and the largest network, then every value of each decision once.

    This finds layers built with a plain number although their input size is a decision: they run for one value of the
    decision and fail for others.

    Args:
        network: A supernet, which is used up.
        decisions: Its decisions.
        signature: What the network takes, and gives where that is said.
        device: Where the network is; on "meta" there is nothing to compute.

    Raises:
        SpaceError: If a network fails; the message has the decision, its value and the layer that failed.
    """
    if not len(decisions):
        return
    sweep = _Sweep(network, decisions, signature, device)
    small, large = (np.array([_extreme(d, largest) for d in decisions], dtype=np.int16) for largest in (False, True))
    base = next((row for row in (large, small) if sweep.failure(row) is None), None)
    if base is None:
        failure = sweep.failure(large)
        assert failure is not None
        raise SpaceError(f"{failure.layer} fails whatever is chosen: {failure.message}")
    sweep.walk(base, small)
    sweep.walk(base, large)
    for column, decision in enumerate(decisions):
        row = sweep.with_active(column, base, small)
        for value in range(len(decision.values)):
            changed = row.copy()
            changed[column] = value
            if sweep.failure(changed) is not None:
                sweep.walk(sweep.runs_nearby(row, changed), changed)


class _Sweep:
    """One network, run for full rows: every decision has a value, active or not."""

    def __init__(self, network: nn.Module, decisions: DecisionSpace, signature: Signature, device: str) -> None:
        self.network, self.decisions, self.signature, self.device = network, decisions, signature, device
        self._selection = selection_of(network)
        self._known: dict[bytes, Failure | None] = {}

    def failure(self, full: Rows) -> Failure | None:
        """What goes wrong for a row, if anything."""
        row = self.decisions.canonical(full[None])[0]
        key = row.tobytes()
        if key not in self._known:
            self._selection.activate_row(row)
            self._known[key] = self._run()
        return self._known[key]

    def walk(self, good: Rows, goal: Rows) -> None:
        """From a row that runs to another, one decision at a time; the first that breaks it is to blame."""
        row, before = good.copy(), None
        if self.failure(goal) is None:
            return
        for column, decision in enumerate(self.decisions):
            before, row[column] = int(row[column]), goal[column]
            failure = self.failure(row)
            if failure is not None:
                raise SpaceError(
                    f"decision {decision.name!r} = {decision.values[row[column]]!r} breaks {failure.layer} "
                    f"({decision.values[before]!r} does not): {failure.message}; "
                    "compute every size behind a decision from it"
                )

    def with_active(self, column: int, *rows: Rows) -> Rows:
        """A row that runs and in which a decision is active: one of the given, else a random one."""
        random = self.decisions.sample(N_TRIED, np.random.default_rng(0))
        for row in (*rows, *np.where(random < 0, rows[0], random)):
            if self.decisions.canonical(row[None])[0, column] >= 0 and self.failure(row) is None:
                found: Rows = row
                return found
        return rows[0]

    def runs_nearby(self, row: Rows, broken: Rows) -> Rows:
        """A row that runs and differs from a broken one where what it activated, beyond `row`, has other values.

        Where there is none, what was activated is not to blame: then `row` itself.
        """
        before, after = self.decisions.canonical(np.stack([row, broken]))
        activated = (before < 0) & (after >= 0)
        random = self.decisions.sample(N_TRIED, np.random.default_rng(0))
        for other in np.where(activated & (random >= 0), random, broken):
            if self.failure(other) is None:
                found: Rows = other
                return found
        return row

    def _run(self) -> Failure | None:
        if (empty := self._empty_layer()) is not None:
            return Failure(self._layer([empty]), "it has a size of 0")
        inputs = self.signature.example(N_INPUTS, device=self.device)
        with _path_of_failure(self.network) as path, torch.no_grad(), ShapesOnly():
            try:
                out = call(self.network, inputs)
            except Exception as error:  # whatever a user's forward raises
                said = f"{type(error).__name__}: {error}".rstrip(": ") if _is_terse(error) else str(error)
                name, given = path[-1] if path else ("", "nothing")
                return Failure(self._layer([name]), f"{' '.join(said.split())} (its input: {given})")
        wanted = [(N_INPUTS, *spec.shape) for spec in self.signature.outputs]
        found = (
            [tuple(tensor.shape) for tensor in tensors_of(out)] if isinstance(out, Tensor) or len(wanted) > 1 else []
        )
        if found == wanted or (found and not wanted):
            return None
        given = _listed(found) if found else type(out).__name__
        return Failure("the network", f"{N_INPUTS} inputs give {given}, not {_listed(wanted) or 'a tensor'}")

    def _empty_layer(self) -> str | None:
        """The first layer that a width of 0 leaves with nothing to compute; torch would fail behind it."""
        layers = [(path, part) for path, part in active_modules(self.network) if isinstance(part, Elastic)]
        return next((path for path, layer in layers if any(current(size) == 0 for size in layer.sizes)), None)

    def _layer(self, path: Sequence[str]) -> str:
        name = path[-1] if path else ""
        if not name:
            return "the network"
        return f"layer {name!r} ({type(self.network.get_submodule(name)).__name__})"


@contextmanager
def _path_of_failure(network: nn.Module) -> Iterator[list[tuple[str, str]]]:
    """A list that ends with the innermost module that did not return: its path, and the shape of what it was given."""
    path: list[tuple[str, str]] = []
    handles = []

    def leave(*_: object) -> None:
        path.pop()

    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(lambda _, given, name=name: path.append((name, _shape(given)))))
        handles.append(module.register_forward_hook(leave))
    try:
        yield path
    finally:
        for handle in handles:
            handle.remove()


def _shape(given: tuple[object, ...]) -> str:
    """Shapes of a module's arguments, or their types where they are no tensors."""
    return ", ".join(str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in given)


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def _is_terse(error: Exception) -> bool:
    """Whether a message means nothing without the error's name, such as the missing key of a KeyError."""
    return isinstance(error, KeyError | AssertionError) or not str(error)


def _extreme(decision: Decision, largest: bool) -> int:
    """Position of the smallest or the largest value; of the first or last where values have no order."""
    positions = range(len(decision.values))
    if decision.kind in ("number", "repeat"):
        return (max if largest else min)(positions, key=decision.values.__getitem__)
    return positions[-1] if largest else 0
