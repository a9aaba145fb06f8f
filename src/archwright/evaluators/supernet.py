"""Candidates scored with the weights of a supernet, after recalibrating batch-norm statistics for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.config import added_field, check_range, from_json, to_json
from archwright.core.decisions import Rows
from archwright.core.trial import Candidate, Metrics
from archwright.evaluators.base import Evaluator, Work
from archwright.evaluators.fast_forms import keep_freed_memory
from archwright.evaluators.side_by_side import side_by_side
from archwright.evaluators.walking import Images, Walker, each_tensor
from archwright.spaces.base import Space
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Part, Task
from archwright.training.config import Precision
from archwright.training.device import compute_dtype, mixed_precision
from archwright.training.recalibrate import averaging_mode
from archwright.weight_sharing.shared import SharedWeights, SupernetWeights

MAX_CACHED_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class CalibrationConfig:
    """Training images that set a candidate's batch-norm statistics; defaults are the released SPOS code's.

    Attributes:
        batches: Forward passes.
        batch_size: Images each.
        augment: How they are changed at random, as `TrainingConfig.augment`.
    """

    batches: int = 200
    batch_size: int = 128
    augment: str = added_field("usual", absent="usual")

    def __post_init__(self) -> None:
        parse_augment(self.augment)
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

    On a CPU each candidate is scored by one thread, and as many side by side as torch computes with: small networks
    gain more from that than from several threads an operation, and the figures do not depend on their number.

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
        config = self.calibration
        n, size = config.batches, config.batch_size
        self._images = Images(
            task, n, size, part, batch_size, seed, config.augment, self.device, space.takes_channels_last
        )
        self._walkers = [Walker(self.shared, self._images)]
        self._is_split: bool | None = None  # whether archs are scored side by side; known once one was
        self._shares: bool | None = None

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
        with self._scoring(self._walkers[0]):
            shares, keys = self._fits(rows), self._walkers[0].keys(rows)
        order = np.array(sorted(range(len(rows)), key=keys.__getitem__))
        walkers = self._side_by_side(len(rows))
        groups = np.array_split(order, len(walkers))

        def score(number: int) -> dict[int, Metrics]:
            return self._score(walkers[number], rows, groups[number].tolist(), shares)

        found = side_by_side(score, len(walkers)) if self._is_split else [score(0)]
        results = {i: metrics for group in found for i, metrics in group.items()}
        return [results[i] for i in range(len(candidates))]

    def model(self, arch: Arch, seed: int = 0) -> nn.Module:
        """The arch's stand-alone network with the shared weights and recalibrated statistics."""
        self.evaluate([Candidate(0, arch, seed)])
        network = self.shared.model(arch).eval()
        running = self._walkers[0].running
        if running is not None and running is not self.supernet:
            for own, scored in zip(network.buffers(), running.buffers(), strict=True):
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

    # ── side by side ──────────────────────────────────────────────────────────────────────────────

    def _side_by_side(self, n: int) -> list[Walker]:
        """At most n walkers over the same weights, each with statistics of its own: as many as torch has threads.

        One where the weights have no twins, or on a device that is not made of threads: it computes as torch does.
        """
        if self._is_split is None:
            twin = self.shared.twin() if self.device.type == "cpu" else None
            self._is_split = twin is not None
            self._walkers += [Walker(twin, self._images)] if twin is not None else []
        if not self._is_split:
            return self._walkers
        n = min(n, torch.get_num_threads())
        while len(self._walkers) < n:
            twin = self.shared.twin()
            assert twin is not None  # as the first one was made
            self._walkers.append(Walker(twin, self._images))
        first, *others = self._walkers[:n]
        for other in others:
            for own, original in zip(other.network.buffers(), first.network.buffers(), strict=True):
                own.copy_(original)
        return [first, *others]

    def _score(self, walker: Walker, rows: Rows, group: Sequence[int], shares: bool) -> dict[int, Metrics]:
        """The metrics of the rows of a group, by their numbers."""
        results: dict[int, Metrics] = {}
        with self._scoring(walker):
            for place, outputs in walker.walk(rows[group], shares=shares):
                meter = self.task.search_meter()
                for logits, batch in outputs:
                    if meter.decodes:
                        assert walker.running is not None
                        meter.measure(walker.running, batch)
                    else:
                        meter.update(each_tensor(torch.Tensor.float, logits), batch)
                results[group[place]] = meter.result()
        return results

    @contextmanager
    def _scoring(self, walker: Walker) -> Iterator[None]:
        """Modes of torch in which archs are scored; they hold for the thread that asks."""
        with (
            averaging_mode(walker.network, walker.norms),
            torch.inference_mode(),
            mixed_precision(self.device, self._dtype),
        ):
            yield

    def _fits(self, rows: Rows) -> bool:
        """Whether the images and the outputs of all stages for them fit into memory; found once, with one image.

        Where the images alone do, they are kept: to decode them from files again for each candidate would take longer
        than the network.
        """
        if self._shares is None:
            n_input_bytes, n_bytes = self._walkers[0].n_bytes(rows[0])
            n_images = self._images.n
            if n_input_bytes * n_images <= self.max_cached_bytes:
                self._images.keep()
            self._shares = n_bytes * n_images * torch.get_num_threads() <= self.max_cached_bytes
        return self._shares


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
