"""Candidates scored with the weights of a supernet, after recalibrating batch-norm statistics for each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.config import check_range, from_json, to_json
from archwright.core.trial import Candidate, Metrics, derive_seed
from archwright.evaluators.base import Evaluator
from archwright.evaluators.fast_forms import FastForm, find_forms, keep_freed_memory, running
from archwright.nn.carrying import Stream
from archwright.nn.choice import selection_of
from archwright.nn.choice.modules import ChoiceModule, active_modules
from archwright.nn.sizes import lazies_in
from archwright.runs.files import read_tensors, write_tensors
from archwright.spaces.base import Space
from archwright.spaces.opening import space_blueprint
from archwright.tasks.base import Part, Task
from archwright.training.checkpoint import load_network, network_tensors
from archwright.training.config import Precision
from archwright.training.device import compute_dtype, mixed_precision, place_inputs, use_layout

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

    Where the network is one `nn.Sequential` of stages, candidates of a population that agree in their first
    stages share that work; the figures are the same to the bit as without.

    Args:
        space: The space the supernet was built from.
        supernet: Trained weights; recalibration leaves statistics of the last candidate in it.
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
        supernet: nn.Module,
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
        self.space, self.supernet, self.task = space, supernet, task
        self.calibration = calibration or CalibrationConfig()
        self.seed, self.device, self.part, self.batch_size = seed, torch.device(device), part, batch_size
        self.max_cached_bytes = max_cached_bytes
        self.precision = precision
        self._dtype = compute_dtype(precision, self.device)
        use_layout(supernet.to(self.device), True)
        self._selection = selection_of(supernet)
        self._stages: list[nn.Module] = list(supernet.children()) if type(supernet) is nn.Sequential else [supernet]
        self._columns = [_columns(stage, space) for stage in self._stages]
        self._forms = {module: form for stage in self._stages for module, form in find_forms(stage).items()}
        self._streams = [Stream(stage) for stage in self._stages]
        self._is_stream = False  # until the validation part was asked for
        self._norms = [norm for norm in supernet.modules() if isinstance(norm, _BatchNorm)]
        self._shares: bool | None = None
        self._kept: tuple[list[Tensor], list[tuple[Tensor, Tensor]]] | None = None
        self._targets: list[Tensor] = []
        # whether a form of a stage writes on its input, and, where it hands on memory of the input, what came out
        self._effects: dict[tuple[int, tuple[int, ...]], tuple[bool, State | None]] = {}

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        if not candidates:
            return []
        rows = self.space.decisions.rows([candidate.arch for candidate in candidates])
        keep_freed_memory()
        results: dict[int, Metrics] = {}
        with (
            _scoring_mode(self.supernet, self._norms),
            torch.inference_mode(),
            mixed_precision(self.device, self._dtype),
        ):
            for i, outputs in self._walk(rows):
                meter = self.task.meter()
                for logits, targets in outputs:
                    meter.update(logits.float(), targets)
                results[i] = meter.result()
        return [results[i] for i in range(len(candidates))]

    def model(self, arch: Arch, seed: int = 0) -> nn.Module:
        """The arch's stand-alone network with the supernet's weights and recalibrated statistics."""
        self.evaluate([Candidate(0, arch, seed)])
        return self.space.extract(self.supernet, arch).eval()

    def blueprint(self, folder: Path) -> Blueprint:
        weights = folder / "supernet.safetensors"
        write_tensors(weights, network_tensors(self.supernet))
        arguments = {
            "space": space_blueprint(self.space),
            "task": self.task.blueprint(folder),
            "weights": str(weights),
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

    # ── the population as a tree of stages ────────────────────────────────────────────────────────

    def _walk(
        self, rows: np.ndarray[tuple[int, int], np.dtype[np.int16]]
    ) -> Iterator[tuple[int, Iterator[tuple[Tensor, Tensor]]]]:
        """Each row's number with its validation outputs and targets; rows with equal first stages follow each other.

        Kept are the outputs of stages the next row shares. Behind them each batch goes through all stages before the
        next one begins: memory is taken again while it is warm, and not asked of the system for every stage.
        """
        if not self._fits(rows):
            for i, row in enumerate(rows):
                self._selection.activate_row(row)
                yield i, self._outputs(0, self._calibration(), self._validation(), copy=self._kept is not None)
            return
        keys = [[tuple(row[columns].tolist()) for columns in self._columns] for row in rows]
        order = sorted(range(len(rows)), key=keys.__getitem__)
        reached = [self._inputs()]  # the images, and the outputs of each stage kept on the current path
        for i, following in zip(order, [*order[1:], order[0]], strict=True):
            self._selection.activate_row(rows[i])
            n_shared = _n_common(keys[i], keys[following])
            for k in range(len(reached) - 1, n_shared):
                copy = self._overwrites(keys[i][: k + 1], k, reached[-1][1][0])
                reached.append(self._run_stage(k, *reached[-1], copy=copy))
            first, (calibration, validation) = len(reached) - 1, reached[-1]
            copy = self._overwrites(keys[i], first, validation[0])
            yield i, self._outputs(first, calibration, zip(validation, self._targets, strict=True), copy=copy)
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
            _start_averaging(stage)
            calibration = [stage(own(batch)) for batch in calibration]
        with running(forms, calibrate=False):
            _stop_averaging(stage)
            return calibration, [self._scored(k, k + 1, own(batch), i) for i, batch in enumerate(validation)]

    def _outputs(
        self, first: int, calibration: Iterable[State], validation: Iterable[tuple[State, Tensor]], *, copy: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Outputs of the active arch and targets, batch by batch, from a stage on to the last; no state is kept."""
        n, own = len(self._stages), _copied if copy else _itself
        stages = self._stages[first:]
        forms = self._active_forms(stages)
        with running(forms, calibrate=True):
            for stage in stages:
                _start_averaging(stage)
            for batch in calibration:
                functools.reduce(lambda state, stage: stage(state), stages, own(batch))
        for stage in stages:
            _stop_averaging(stage)
        with running(forms, calibrate=False):
            for i, (batch, targets) in enumerate(validation):
                yield _tensors(self._scored(first, n, own(batch), i))[0], targets

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

    def _calibration(self) -> Iterable[Tensor]:
        if not self._norms:
            return []
        if self._kept is not None:
            return self._kept[0]
        config = self.calibration
        split = self.task.split("train")
        batches = split.batches(config.batch_size, seed=derive_seed(self.seed, "calibration"), n_steps=config.batches)
        return (place_inputs(inputs, self.device, True) for inputs, _ in batches)

    def _validation(self) -> Iterable[tuple[Tensor, Tensor]]:
        if self._kept is not None:
            return self._kept[1]
        split = self.task.split(self.part)
        self._is_stream = split.is_stream
        batches = split.ordered(self.batch_size)
        return ((place_inputs(inputs, self.device, True), targets.to(self.device)) for inputs, targets in batches)

    def _inputs(self) -> tuple[list[State], list[State]]:
        validation = list(self._validation())
        self._targets = [targets for _, targets in validation]
        return list(self._calibration()), [inputs for inputs, _ in validation]

    def _fits(self, rows: np.ndarray[tuple[int, int], np.dtype[np.int16]]) -> bool:
        """Whether the images and the outputs of all stages for them fit into memory; found once, with one image.

        Where the images alone do, they are kept: to decode them from files again for each candidate would take longer
        than the network.
        """
        if self._shares is None:
            self._selection.activate_row(rows[0])
            n_images = self.task.split(self.part).n + self.calibration.batches * self.calibration.batch_size
            state: State = next(iter(self._validation()))[0][:1]
            n_input_bytes = n_bytes = sum(x.nbytes for x in _tensors(state))
            for stage in self._stages:
                state = stage(state)
                n_bytes += sum(x.nbytes for x in _tensors(state))
            if n_input_bytes * n_images <= self.max_cached_bytes:
                self._kept = (list(self._calibration()), list(self._validation()))
            self._shares = n_bytes * n_images <= self.max_cached_bytes
        return self._shares


def rebuild(
    space: Space, task: Task, weights: str, calibration: dict[str, Any], options: dict[str, Any]
) -> SupernetEvaluator:
    """What a `SupernetEvaluator.blueprint` builds."""
    supernet = space.supernet()
    load_network(supernet, read_tensors(weights)[0])
    return SupernetEvaluator(space, supernet, task, from_json(CalibrationConfig, calibration), **options)


def _columns(stage: nn.Module, space: Space) -> list[int]:
    """Columns of the decisions a stage reads."""
    names: set[str] = set()
    for module in stage.modules():
        if isinstance(module, ChoiceModule):
            names.add(module.decision)
        names.update(*(lazy.decisions for lazy in lazies_in(module)))
    return sorted(space.decisions.position(name) for name in names)


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


@contextmanager
def _scoring_mode(supernet: nn.Module, norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Evaluation mode; batch norms average cumulatively. Modes and momenta are restored."""
    training = [module for module in supernet.modules() if module.training]
    was_training = {id(module) for module in training}
    momenta = [norm.momentum for norm in norms]
    for module in training:
        module.training = False
    for norm in norms:
        norm.momentum = None
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.training = id(norm) in was_training


def _start_averaging(stage: nn.Module) -> None:
    """Statistics of the active batch norms start afresh: the first batch enters a cumulative mean with factor 1."""
    for _, module in active_modules(stage):
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.training = True


def _stop_averaging(stage: nn.Module) -> None:
    for _, module in active_modules(stage):
        if isinstance(module, _BatchNorm):
            module.training = False
