"""Running archs of shared weights one after the other over the same images, with what neighbours share run once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.decisions import Rows
from archwright.core.trial import derive_seed
from archwright.evaluators.fast_forms import FastForm, find_forms, running
from archwright.nn.carrying import Stream
from archwright.nn.choice.modules import active_modules
from archwright.nn.inputs import Inputs, call
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Batch, Part, Task
from archwright.training.device import place_batch, use_layout
from archwright.training.recalibrate import start_averaging, stop_averaging
from archwright.weight_sharing.shared import SharedWeights, Stage, SupernetWeights

State = Tensor | Sequence[Tensor]
"""What a stage hands to the next one: a tensor, or several (cells with two inputs)."""


@dataclass
class Images:
    """The examples that every arch is run on: some of the training part for statistics, and those it is scored on.

    Attributes:
        task: Where they come from.
        n_batches: Training batches for statistics.
        batch_size: Examples in each of them.
        part: What is scored on.
        scored_batch_size: Examples of a batch that is scored.
        seed: Draws the training batches, and augments them.
        augment: How they are augmented, as `TrainingConfig.augment`.
        device: Where they are put.
        channels_last: Their layout.
        kept: All of them, once `keep` was called; else they are read anew each time.
        is_stream: Whether a scored batch goes on where the one before ended.
    """

    task: Task
    n_batches: int
    batch_size: int
    part: Part
    scored_batch_size: int
    seed: int
    augment: str
    device: torch.device
    channels_last: bool = True
    kept: tuple[list[Inputs], list[Batch]] | None = None
    is_stream: bool = False

    @property
    def n(self) -> int:
        """How many there are."""
        return self.task.split(self.part).n + self.n_batches * self.batch_size

    def keep(self) -> None:
        """Keep them in memory from now on."""
        self.kept = list(self.calibration()), list(self.validation())

    def calibration(self) -> Iterable[Inputs]:
        """Batches for statistics."""
        if self.kept is not None:
            return self.kept[0]
        batches = (
            self.task.split("train")
            .augmented(parse_augment(self.augment))
            .batches(self.batch_size, seed=derive_seed(self.seed, "calibration"), n_steps=self.n_batches)
        )
        return (place_batch(batch, self.device, self.channels_last).inputs for batch in batches)

    def validation(self) -> Iterable[Batch]:
        """Batches that are scored."""
        if self.kept is not None:
            return self.kept[1]
        split = self.task.split(self.part)
        self.is_stream = split.is_stream
        return (place_batch(batch, self.device, self.channels_last) for batch in split.ordered(self.scored_batch_size))


class Walker:
    """Runs archs of shared weights; what is active in them is its own affair.

    Args:
        shared: The weights.
        images: What archs are run on.
    """

    def __init__(self, shared: SharedWeights, images: Images) -> None:
        self.shared, self.images, self.space = shared, images, shared.space
        self.network = shared.network
        self.running: nn.Module | None = None  # what runs the active arch, and its stages; see _take
        self._columns: list[list[int]] = []
        # whether a form of a stage writes on its input, and, where it hands on memory of the input, what came out
        self._effects: dict[tuple[int, tuple[int, ...]], tuple[bool, State | None]] = {}
        use_layout(self.network.to(images.device), images.channels_last)
        if isinstance(shared, SupernetWeights):  # which runs itself, whatever is active
            self._take(self.network)

    @property
    def norms(self) -> list[_BatchNorm]:
        """All batch norms of the network that holds the weights."""
        return _norms_of(self.network)

    def activate(self, row: NDArray[Any]) -> None:
        """Run the arch of a row (n_decisions,) from now on."""
        self.shared.activate(row)
        if self.shared.executed is not self.running:
            self._take(self.shared.executed)

    def _take(self, network: nn.Module) -> None:
        """Run this network from now on: look up its stages, and what of them has a fast form."""
        stages = self.shared.stages()
        if network is not self.network:  # nobody else has it
            use_layout(network, self.images.channels_last)
            for norm in _norms_of(network):
                norm.momentum = None
        self.running = network
        takes_several = len(self.space.signature.inputs) > 1
        if stages is None or takes_several:
            whole = _Whole(network) if takes_several else network
            stages = [Stage(whole, frozenset(self.space.decisions.names))]
        self._stages = [stage.module for stage in stages]
        self._columns = [sorted(self.space.decisions.position(name) for name in stage.reads) for stage in stages]
        self._forms = {module: form for stage in self._stages for module, form in find_forms(stage).items()}
        self._streams = [Stream(stage) for stage in self._stages]
        # of generated networks some may have batch norms and others none: they share their images
        self._calibrates = network is not self.network or bool(_norms_of(network))

    def keys(self, rows: Rows) -> list[list[tuple[int, ...]]]:
        """For each row (n, n_decisions) what each stage reads of it: rows with equal beginnings share those stages."""
        if not self._columns:
            self.activate(rows[0])
        return [[tuple(row[columns].tolist()) for columns in self._columns] for row in rows]

    def n_bytes(self, row: NDArray[Any]) -> tuple[int, int]:
        """Bytes of one example: as the input, and with the outputs of all stages for it."""
        self.activate(row)
        inputs = next(iter(self.images.validation())).inputs
        state: State = inputs[:1] if isinstance(inputs, Tensor) else tuple(each[:1] for each in inputs)
        n_input = n_all = sum(x.nbytes for x in _tensors(state))
        for stage in self._stages:
            state = stage(state)
            n_all += sum(x.nbytes for x in _tensors(state))
        return n_input, n_all

    def walk(self, rows: Rows, *, shares: bool) -> Iterator[tuple[int, Iterator[tuple[State, Batch]]]]:
        """Each row's number with its outputs and batches; rows with equal first stages should follow each other.

        Kept are the outputs of stages the next row shares. Behind them each batch goes through all stages before the
        next one begins: memory is taken again while it is warm, and not asked of the system for every stage.

        Args:
            rows: Archs (n, n_decisions).
            shares: Whether outputs of stages are kept for the rows that share them.
        """
        if not shares:
            for i, row in enumerate(rows):
                self.activate(row)
                images = ((batch.inputs, batch) for batch in self.images.validation())
                yield i, self._outputs(0, self._calibration(), images, copy=self.images.kept is not None)
            return
        keys, batches = self.keys(rows), list(self.images.validation())
        inputs: list[State] = [batch.inputs for batch in batches]
        reached = [(list(self._calibration()), inputs)]  # the images, and the outputs of each stage that is kept
        for i, following in enumerate([*range(1, len(rows)), 0]):
            self.activate(rows[i])
            n_shared = n_common(keys[i], keys[following])
            for k in range(len(reached) - 1, n_shared):
                copy = self._overwrites(keys[i][: k + 1], k, reached[-1][1][0])
                reached.append(self._run_stage(k, *reached[-1], copy=copy))
            first, (calibration, validation) = len(reached) - 1, reached[-1]
            copy = self._overwrites(keys[i], first, validation[0])
            yield i, self._outputs(first, calibration, zip(validation, batches, strict=True), copy=copy)
            del reached[n_shared + 1 :]

    def _calibration(self) -> Iterable[State]:
        return self.images.calibration() if self._calibrates else []

    def _overwrites(self, keys: Sequence[tuple[int, ...]], first: int, state: State) -> bool:
        """Whether stages write on the state they begin with, which others still need.

        Args:
            keys: Values of the decisions of each stage, up to the last one asked for.
            first: The stage that reads the state.
            state: An example of it.
        """
        for k in range(first, len(keys)):
            if (k, keys[k]) not in self._effects:
                with torch.inference_mode(False), torch.no_grad():  # elsewhere tensors do not count what is written
                    probe = each_tensor(lambda x: torch.zeros(x[:1].shape, dtype=x.dtype, device=x.device), state)
                    found = self._stages[k](probe)
                    writes = any(x._version > 0 for x in _tensors(probe))
                    self._effects[k, keys[k]] = writes, found if _share_memory(probe, found) else None
            writes, passed_on = self._effects[k, keys[k]]
            if writes or passed_on is None:
                return writes
            state = passed_on
        return False

    def _run_stage(
        self, k: int, calibration: list[State], validation: list[State], *, copy: bool
    ) -> tuple[list[State], list[State]]:
        """The outputs of a stage for all batches, copied before where the stage would overwrite them."""
        stage, own = self._stages[k], _copied if copy else _itself
        forms = self._active_forms([stage])
        with running(forms, calibrate=True):
            start_averaging(stage)
            calibration = [stage(own(batch)) for batch in calibration]
        with running(forms, calibrate=False):
            stop_averaging(stage)
            return calibration, [self._scored(k, k + 1, own(batch), i) for i, batch in enumerate(validation)]

    def _outputs(
        self, first: int, calibration: Iterable[State], validation: Iterable[tuple[State, Batch]], *, copy: bool
    ) -> Iterator[tuple[State, Batch]]:
        """Outputs of the active arch and batches, one by one, from a stage on to the last; no state is kept."""
        n, own = len(self._stages), _copied if copy else _itself
        stages = self._stages[first:]
        forms = self._active_forms(stages)
        with running(forms, calibrate=True):
            for stage in stages:
                start_averaging(stage)
            for state in calibration:
                functools.reduce(lambda state, stage: stage(state), stages, own(state))
        for stage in stages:
            stop_averaging(stage)
        with running(forms, calibrate=False):
            for i, (state, batch) in enumerate(validation):
                yield self._scored(first, n, own(state), i), batch

    def _scored(self, first: int, last: int, state: State, i: int) -> State:
        """What the stages from `first` to before `last` make of validation batch i."""
        for stage, stream in zip(self._stages[first:last], self._streams[first:last], strict=True):
            with stream.batch(goes_on=self.images.is_stream and i > 0):
                state = stage(state)
        return state

    def _active_forms(self, stages: Sequence[nn.Module]) -> dict[nn.Module, FastForm]:
        """Fast forms of the modules that run."""
        active = (module for stage in stages for _, module in active_modules(stage))
        return {module: self._forms[module] for module in active if module in self._forms}


class _Whole(nn.Module):
    """A network of several inputs as one stage, which takes them together."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Inputs) -> Any:
        return call(self.network, inputs)


def _norms_of(network: nn.Module) -> list[_BatchNorm]:
    return [norm for norm in network.modules() if isinstance(norm, _BatchNorm)]


def _tensors(state: State) -> Sequence[Tensor]:
    return (state,) if isinstance(state, Tensor) else state


def each_tensor(change: Callable[[Tensor], Tensor], state: State) -> State:
    """The same state with every tensor changed."""
    return change(state) if isinstance(state, Tensor) else type(state)(map(change, state))  # type: ignore[call-arg]


def _itself(state: State) -> State:
    return state


def _copied(state: State) -> State:
    return each_tensor(torch.clone, state)


def _share_memory(one: State, other: State) -> bool:
    places = [{x.untyped_storage().data_ptr() for x in _tensors(state)} for state in (one, other)]
    return not places[0].isdisjoint(places[1])


def n_common(one: Sequence[object], other: Sequence[object]) -> int:
    """Length of the common beginning."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n
