"""State that a network takes from one batch to the next, as a recurrent layer does along a text.

By itself a network is a function of its input: a recurrent layer begins every batch with the state `begin` gives.
Run in a `Stream` it goes on where it was, without a gradient to what came before (truncated back-propagation). The
state is neither a parameter nor a buffer: its shape follows the batch, and no file of weights should hold it. Who
runs a network (training, evaluation) has the stream, says where a pass begins, and puts the state into checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

State = tuple[Tensor, ...]


class Carrier(nn.Module):
    """A module that can carry state.

    Attributes:
        is_carrying: Whether the batch is one of a stream.
        before: State the stream begins the batch with; None where it begins anew.
        after: State after the batch, detached; None as long as the module has not run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_carrying = False
        self.before: State | None = None
        self.after: State | None = None

    def resumed(self, fresh: State) -> State:
        """The state to begin a batch with: the stream's, or `fresh` if the stream has no state of the same shapes."""
        if self.before is None or [state.shape for state in self.before] != [state.shape for state in fresh]:
            return fresh
        return self.before

    def keep(self, state: State) -> None:
        """Hand the state to the stream, if the network runs in one."""
        if self.is_carrying:
            self.after = tuple(part.detach() for part in state)


class Stream:
    """The state of a network along batches that follow each other; run each inside `batch`.

    Several streams may take turns on one network, as training and validation data do in a bilevel search. A network
    without carriers costs nothing.

    Args:
        network: Any network.
    """

    def __init__(self, network: nn.Module) -> None:
        self._carriers = {name: part for name, part in network.named_modules() if isinstance(part, Carrier)}
        self._before: dict[str, State] = {}
        self._states: dict[str, State] = {}

    @property
    def has_carriers(self) -> bool:
        """Whether anything in the network carries state."""
        return bool(self._carriers)

    @contextmanager
    def batch(self, *, goes_on: bool) -> Iterator[None]:
        """A context in which the network runs once, on the next batch.

        A module that did not run in the batch before (in a supernet, one on another path) has missed part of the text;
        it begins anew.

        Args:
            goes_on: Whether the batch goes on where the one before ended; otherwise everything begins anew.
        """
        self.move_on(goes_on=goes_on)
        with self.passing():
            yield

    def move_on(self, *, goes_on: bool) -> None:
        """Go to the next batch, on which the network then runs in `passing`; see `batch`."""
        self._before, self._states = self._states if goes_on else {}, {}

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Inside, the network runs on the present batch, once.

        As often as it does (an unrolled step runs it at other weights, a step of several archs once for each), it
        begins with the state the batch before has left; the next batch begins with what the last of the passes leaves.
        """
        for name, carrier in self._carriers.items():
            carrier.is_carrying, carrier.before, carrier.after = True, self._before.get(name), None
        try:
            yield
            self._states = {name: c.after for name, c in self._carriers.items() if c.after is not None}
        finally:
            for carrier in self._carriers.values():
                carrier.is_carrying, carrier.before, carrier.after = False, None, None

    def tensors(self) -> dict[str, Tensor]:
        """The tensors carried to the next batch, by `PATH/NUMBER`, for a checkpoint; they are not copied."""
        return {f"{name}/{i}": tensor for name, state in self._states.items() for i, tensor in enumerate(state)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` gave."""
        found: dict[str, dict[int, Tensor]] = {}
        for path, tensor in tensors.items():
            name, number = path.rsplit("/", 1)
            found.setdefault(name, {})[int(number)] = tensor.clone()
        self._states = {name: tuple(parts[i] for i in sorted(parts)) for name, parts in found.items()}
