"""Candidates scored with the weights of a supernet, after recalibrating batch-norm statistics for each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.config import check_range, from_json, to_json
from archwright.core.trial import Candidate, Metrics, derive_seed
from archwright.evaluators.base import Evaluator, Work
from archwright.evaluators.fast_forms import FastForm, find_forms, keep_freed_memory, running
from archwright.nn.carrying import Stream
from archwright.nn.choice.modules import active_modules
from archwright.nn.inputs import Inputs, call
from archwright.spaces.base import Space
from archwright.tasks.base import Batch, Part, Task
from archwright.training.config import Precision
from archwright.training.device import compute_dtype, mixed_precision, place_batch, use_layout
from archwright.training.recalibrate import averaging_mode, start_averaging, stop_averaging
from archwright.weight_sharing.shared import SharedWeights, Stage, SupernetWeights

MAX_CACHED_BYTES = 2 * 1024**3

State = Tensor | Sequence[Tensor]
"""What a stage hands to the next one: a tensor, or several (cells with two inputs)."""


@dataclass(frozen=True)
class CalibrationConfig:
    """Training images that set a candidate's batch-norm statistics; defaults are the released SPOS code's.

    Attributes:
        batches: Forward passes.
        batch_size: Images each.
    """

    batches: int = 200
    batch_size: int = 128

    def __post_init__(self) -> None:
        for name in ("batches", "batch_size"):
            check_range(f"calibration.{name}", getattr(self, name), 1, 1_000_000)


@listed(
    "evaluator",
    "supernet",
    summary="inherits a supernet's weights, recalibrates batch norms on training images, scores on the validation part",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
class SupernetEvaluator(Evaluator):
    """Scores archs by the supernet's weights without changing them.

    For each candidate the statistics of its batch norms are set from scratch by one forward-only pass over fixed
    training batches (a cumulative mean; the released code takes an exponential one with momentum 0.1), then the
    validation part is scored. The same batches serve every candidate, so candidates compare on equal terms.

    Where the network is one `nn.Sequential` of stages, candidates of a population that agree in the decisions that
    the first stages read share that work; the figures are the same to the bit as without. A network some module of
    which follows the Selection without saying which decisions it reads is run whole (see `nn.choice.reading`).

    Args:
        space: The space the weights belong to.
        supernet: A trained supernet, or other shared weights; recalibration leaves statistics of the last candidate in
            a supernet.
        task: Where images and metrics come from.
        calibration: How many training images.
        seed: Which training images, and their augmentation.
        device: Where the supernet is.
        part: What is scored on.
        batch_size: Images a validation pass.
        precision: Of the forward passes. "bfloat16" is about twice as fast on CPUs that compute in it; batch-norm
            statistics stay float32, and the ranking may differ a little from that of "float32".
        max_cached_bytes: Memory for images and shared stages. Where both need more, no stage is shared; where the
            images alone do, they are read anew for each candidate.
    """

    chunk: ClassVar[int] = 64

    def __init__(
        self,
        space: Space,
        supernet: nn.Module | SharedWeights,
        task: Task,
        calibration: CalibrationConfig | None = None,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        part: Part = "validation",
        batch_size: int = 256,
        precision: Precision = "float32",
        max_cached_bytes: int = MAX_CACHED_BYTES,
    ) -> None:
        task.check_taken_by(space)
        self.shared = supernet if isinstance(supernet, SharedWeights) else SupernetWeights(space, supernet)
        self.space, self.supernet, self.task = space, self.shared.network, task
        self.calibration = calibration or CalibrationConfig()
        self.seed, self.device, self.part, self.batch_size = seed, torch.device(device), part, batch_size
        self.max_cached_bytes = max_cached_bytes
        self.precision = precision
        self._dtype = compute_dtype(precision, self.device)
        use_layout(self.supernet.to(self.device), True)
        self._running: nn.Module | None = None  # what runs the active arch, and its stages; see _take
        self._columns: list[list[int]] = []
        self._is_stream = False  # until the validation part was asked for
        self._shares: bool | None = None
        self._kept: tuple[list[Inputs], list[Batch]] | None = None
        self._batches: list[Batch] = []
        # whether a form of a stage writes on its input, and, where it hands on memory of the input, what came out
        self._effects: dict[tuple[int, tuple[int, ...]], tuple[bool, State | None]] = {}
        if isinstance(self.shared, SupernetWeights):  # which runs itself, whatever is active
            self._take(self.supernet)

    @classmethod
    def of(cls, shared: SharedWeights, task: Task, *args: Any, **options: Any) -> SupernetEvaluator:
        """An evaluator of shared weights of any kind.

        Args:
            shared: The weights, with their space.
            task: Where images and metrics come from.
            args: The further arguments of the constructor.
            options: Its keyword arguments.
        """
        return cls(shared.space, shared, task, *args, **options)

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        if not candidates:
            return []
        rows = self.space.decisions.rows([candidate.arch for candidate in candidates])
        keep_freed_memory()
        results: dict[int, Metrics] = {}
        with (
            averaging_mode(self.supernet, _norms_of(self.supernet)),
            torch.inference_mode(),
            mixed_precision(self.device, self._dtype),
        ):
            for i, outputs in self._walk(rows):
                meter = self.task.search_meter()
                for logits, batch in outputs:
                    if meter.decodes:
                        assert self._running is not None
                        meter.measure(self._running, batch)
                    else:
                        meter.update(_each(torch.Tensor.float, logits), batch)
                results[i] = meter.result()
        return [results[i] for i in range(len(candidates))]

    def model(self, arch: Arch, seed: int = 0) -> nn.Module:
        """The arch's stand-alone network with the shared weights and recalibrated statistics."""
        self.evaluate([Candidate(0, arch, seed)])
        network = self.shared.model(arch).eval()
        if self._running is not None and self._running is not self.supernet:
            for own, scored in zip(network.buffers(), self._running.buffers(), strict=True):
                own.copy_(scored)
        return network

    def work(self, candidate: Candidate | None = None) -> Work:
        n_calibration = self.calibration.batches * self.calibration.batch_size
        return Work(n_scored=n_calibration + self.task.split(self.part).n)

    def blueprint(self, folder: Path) -> Blueprint:
        arguments = {
            "shared": self.shared.blueprint(folder),
            "task": self.task.blueprint(folder),
            "calibration": to_json(self.calibration),
            "options": {
                "seed": self.seed,
                "device": str(self.device),
                "part": self.part,
                "batch_size": self.batch_size,
                "precision": self.precision,
                "max_cached_bytes": self.max_cached_bytes,
            },
        }
        return Blueprint(f"{__name__}:rebuild", arguments)

    # ── the active arch ───────────────────────────────────────────────────────────────────────────

    def _activate(self, row: NDArray[Any]) -> None:
        self.shared.activate(row)
        if self.shared.executed is not self._running:
            self._take(self.shared.executed)

    def _take(self, network: nn.Module) -> None:
        """Run this network from now on: look up its stages, and what of them has a fast form."""
        stages = self.shared.stages()
        if network is not self.supernet:  # nobody else has it
            use_layout(network, True)
            _average_cumulatively(_norms_of(network))
        self._running = network
        takes_several = len(self.space.signature.inputs) > 1
        if stages is None or takes_several:
            whole = _Whole(network) if takes_several else network
            stages = [Stage(whole, frozenset(self.space.decisions.names))]
        self._stages = [stage.module for stage in stages]
        self._columns = [sorted(self.space.decisions.position(name) for name in stage.reads) for stage in stages]
        self._forms = {module: form for stage in self._stages for module, form in find_forms(stage).items()}
        self._streams = [Stream(stage) for stage in self._stages]
        # of generated networks some may have batch norms and others none: they share their images
        self._calibrates = network is not self.supernet or bool(_norms_of(network))

    # ── the population as a tree of stages ────────────────────────────────────────────────────────

    def _walk(
        self, rows: np.ndarray[tuple[int, int], np.dtype[np.int16]]
    ) -> Iterator[tuple[int, Iterator[tuple[State, Batch]]]]:
        """Each row's number with its validation outputs and batches; rows with equal first stages follow each other.

        Kept are the outputs of stages the next row shares. Behind them each batch goes through all stages before the
        next one begins: memory is taken again while it is warm, and not asked of the system for every stage.
        """
        if not self._fits(rows):
            for i, row in enumerate(rows):
                self._activate(row)
                images = ((batch.inputs, batch) for batch in self._validation())
                yield i, self._outputs(0, self._calibration(), images, copy=self._kept is not None)
            return
        keys = [[tuple(row[columns].tolist()) for columns in self._columns] for row in rows]
        order = sorted(range(len(rows)), key=keys.__getitem__)
        reached = [self._inputs()]  # the images, and the outputs of each stage kept on the current path
        for i, following in zip(order, [*order[1:], order[0]], strict=True):
            self._activate(rows[i])
            n_shared = _n_common(keys[i], keys[following])
            for k in range(len(reached) - 1, n_shared):
                copy = self._overwrites(keys[i][: k + 1], k, reached[-1][1][0])
                reached.append(self._run_stage(k, *reached[-1], copy=copy))
            first, (calibration, validation) = len(reached) - 1, reached[-1]
            copy = self._overwrites(keys[i], first, validation[0])
            yield i, self._outputs(first, calibration, zip(validation, self._batches, strict=True), copy=copy)
            del reached[n_shared + 1 :]

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
                    probe = _each(lambda x: torch.zeros(x[:1].shape, dtype=x.dtype, device=x.device), state)
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
            with stream.batch(goes_on=self._is_stream and i > 0):
                state = stage(state)
        return state

    def _active_forms(self, stages: Sequence[nn.Module]) -> dict[nn.Module, FastForm]:
        """Fast forms of the modules that run."""
        active = (module for stage in stages for _, module in active_modules(stage))
        return {module: self._forms[module] for module in active if module in self._forms}

    # ── data ──────────────────────────────────────────────────────────────────────────────────────

    def _calibration(self) -> Iterable[Inputs]:
        if not self._calibrates:
            return []
        if self._kept is not None:
            return self._kept[0]
        config = self.calibration
        split = self.task.split("train")
        batches = split.batches(config.batch_size, seed=derive_seed(self.seed, "calibration"), n_steps=config.batches)
        return (place_batch(batch, self.device, True).inputs for batch in batches)

    def _validation(self) -> Iterable[Batch]:
        if self._kept is not None:
            return self._kept[1]
        split = self.task.split(self.part)
        self._is_stream = split.is_stream
        batches = split.ordered(self.batch_size)
        return (place_batch(batch, self.device, True) for batch in batches)

    def _inputs(self) -> tuple[list[State], list[State]]:
        self._batches = list(self._validation())
        return list(self._calibration()), [batch.inputs for batch in self._batches]

    def _fits(self, rows: np.ndarray[tuple[int, int], np.dtype[np.int16]]) -> bool:
        """Whether the images and the outputs of all stages for them fit into memory; found once, with one image.

        Where the images alone do, they are kept: to decode them from files again for each candidate would take longer
        than the network.
        """
        if self._shares is None:
            self._activate(rows[0])
            n_images = self.task.split(self.part).n + self.calibration.batches * self.calibration.batch_size
            inputs = next(iter(self._validation())).inputs
            state: State = inputs[:1] if isinstance(inputs, Tensor) else tuple(each[:1] for each in inputs)
            n_input_bytes = n_bytes = sum(x.nbytes for x in _tensors(state))
            for stage in self._stages:
                state = stage(state)
                n_bytes += sum(x.nbytes for x in _tensors(state))
            if n_input_bytes * n_images <= self.max_cached_bytes:
                self._kept = (list(self._calibration()), list(self._validation()))
            self._shares = n_bytes * n_images <= self.max_cached_bytes
        return self._shares


class _Whole(nn.Module):
    """A network of several inputs as one stage, which takes them together."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Inputs) -> Any:
        return call(self.network, inputs)


def rebuild(
    shared: SharedWeights, task: Task, calibration: dict[str, Any], options: dict[str, Any]
) -> SupernetEvaluator:
    """What a `SupernetEvaluator.blueprint` builds.

    Args:
        shared: The weights.
        task: Where images and metrics come from.
        calibration: A `CalibrationConfig` as JSON.
        options: Keyword arguments of the constructor.
    """
    return SupernetEvaluator.of(shared, task, from_json(CalibrationConfig, calibration), **options)


def _norms_of(network: nn.Module) -> list[_BatchNorm]:
    return [norm for norm in network.modules() if isinstance(norm, _BatchNorm)]


def _average_cumulatively(norms: Sequence[_BatchNorm]) -> None:
    for norm in norms:
        norm.momentum = None


def _tensors(state: State) -> Sequence[Tensor]:
    return (state,) if isinstance(state, Tensor) else state


def _each(change: Callable[[Tensor], Tensor], state: State) -> State:
    """The same state with every tensor changed."""
    return change(state) if isinstance(state, Tensor) else type(state)(map(change, state))  # type: ignore[call-arg]


def _itself(state: State) -> State:
    return state


def _copied(state: State) -> State:
    return _each(torch.clone, state)


def _share_memory(one: State, other: State) -> bool:
    places = [{x.untyped_storage().data_ptr() for x in _tensors(state)} for state in (one, other)]
    return not places[0].isdisjoint(places[1])


def _n_common(one: Sequence[object], other: Sequence[object]) -> int:
    """Length of the common beginning."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n
