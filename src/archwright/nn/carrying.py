"""State that a network takes from one batch to the next, as a recurrent layer does along a text.

By itself a network is a function of its input: a recurrent layer begins every batch with the state `begin` gives.
Inside a `Stream` it goes on where it was, without a gradient to what came before (truncated back-propagation). The
state is neither a parameter nor a buffer: its shape follows the batch, and no file of weights should hold it. Who
runs a network (training, evaluation) opens the stream, says where a pass begins, and puts the state into checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

State = tuple[Tensor, ...]


class Carrier(nn.Module):
    """A module that can carry state.

    Attributes:
        is_carrying: Whether a stream is open.
        carried: State after the last batch, detached; None at the beginning of a pass.
        has_run: Whether it ran in the last batch: in a supernet not every path does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_carrying = False
        self.carried: State | None = None
        self.has_run = False

    def resumed(self, fresh: State) -> State:
        """The state to begin a batch with: the carried one, or `fresh` where there is none of those shapes."""
        carried = self.carried if self.is_carrying else None
        if carried is None or [state.shape for state in carried] != [state.shape for state in fresh]:
            return fresh
        return carried

    def keep(self, state: State) -> None:
        """Carry a state on to the next batch, if a stream is open."""
        if self.is_carrying:
            self.carried, self.has_run = tuple(part.detach() for part in state), True


class Stream:
    """The state of all carriers of a network while it is run along batches that follow each other.

    Use it as a context; outside, every batch begins anew. A network without carriers costs nothing.

    Args:
        network: Any network.
    """

    def __init__(self, network: nn.Module) -> None:
        self._carriers = {name: part for name, part in network.named_modules() if isinstance(part, Carrier)}

    def __enter__(self) -> Self:
        for carrier in self._carriers.values():
            carrier.is_carrying, carrier.carried, carrier.has_run = True, None, False
        return self

    def __exit__(self, *_: object) -> None:
        for carrier in self._carriers.values():
            carrier.is_carrying, carrier.carried, carrier.has_run = False, None, False

    def next_batch(self, *, goes_on: bool) -> None:
        """To be called before each batch.

        A carrier that did not run in the batch before has missed part of the text, so it begins anew.

        Args:
            goes_on: Whether the batch goes on where the one before ended; False begins everything anew.
        """
        for carrier in self._carriers.values():
            if not (goes_on and carrier.has_run):
                carrier.carried = None
            carrier.has_run = False

    def tensors(self) -> dict[str, Tensor]:
        """What is carried now, by `PATH/NUMBER`, for a checkpoint between two batches; not copied."""
        return {
            f"{name}/{number}": tensor
            for name, carrier in self._carriers.items()
            if carrier.has_run
            for number, tensor in enumerate(carrier.carried or ())
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave."""
        found: dict[str, dict[int, Tensor]] = {}
        for path, tensor in tensors.items():
            name, number = path.rsplit("/", 1)
            found.setdefault(name, {})[int(number)] = tensor
        for name, parts in found.items():
            carrier = self._carriers[name]
            carrier.carried, carrier.has_run = tuple(parts[number].clone() for number in sorted(parts)), True
