"""Scores by name, and the evaluator that gives them: what each reads, and what several share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, UnknownNameError, UsageError
from archwright.core.trial import Candidate, Metrics, Trial, derive_seed
from archwright.costs.counted import Macs, Params
from archwright.evaluators.base import Evaluator, Work
from archwright.evaluators.zero_cost import measures
from archwright.evaluators.zero_cost.initial import he_normal, standard_normal, weighted
from archwright.nn.inputs import tensors_of
from archwright.spaces.base import Space
from archwright.spaces.opening import space_blueprint
from archwright.tasks.base import Task
from archwright.training.device import takes_channels_last, use_layout
from archwright.training.networks import build_seeded

Reads = Literal["table", "data", "noise", "ones"]


@dataclass(frozen=True)
class Score:
    """What a score reads.

    Attributes:
        reads: Costs that need no network ("table"), real images ("data"), normal noise, or ones.
        source: Its paper.
    """

    reads: Reads
    source: str = ""


SCORES: dict[str, Score] = {
    "params": Score("table"),
    "macs": Score("table"),
    "layers": Score("table"),
    "live_macs": Score("table"),
    "snip": Score("data", "Lee et al., ICLR 2019, arXiv:1810.02340"),
    "grasp": Score("data", "Wang et al., ICLR 2020, arXiv:2002.07376"),
    "gradient_norm": Score("data", "Abdelfattah et al., ICLR 2021, arXiv:2101.08134"),
    "zico": Score("data", "Li et al., ICLR 2023, arXiv:2301.11300"),
    "synflow": Score("ones", "Tanaka et al., NeurIPS 2020, arXiv:2006.05467"),
    "naswot": Score("noise", "Mellor et al., ICML 2021, arXiv:2006.04647"),
    "zen": Score("noise", "Lin et al., ICCV 2021, arXiv:2102.01063"),
    "expressivity": Score("noise", "Lee & Ham, CVPR 2024, arXiv:2403.19232"),
    "progressivity": Score("noise", "Lee & Ham, CVPR 2024, arXiv:2403.19232"),
    "trainability": Score("noise", "Lee & Ham, CVPR 2024, arXiv:2403.19232"),
}
"""Every score by its name."""

COMBINED: dict[str, tuple[str, ...]] = {
    "az-nas": ("expressivity", "progressivity", "trainability", "macs"),
    "az-nas+synflow": ("expressivity", "progressivity", "trainability", "macs", "synflow"),
}
"""Scores that are aggregated by rank over a population (`measures.rank_aggregated`)."""

_COUNTS: Mapping[str, Callable[[Space, Rows], NDArray[np.float64]]] = {
    "params": lambda space, rows: Params().cost_rows(space, rows),
    "macs": lambda space, rows: Macs().cost_rows(space, rows),
    "live_macs": lambda space, rows: Macs().cost_rows(space, space.without_dead(rows)),
}
_AZ_NAS = ("expressivity", "progressivity", "trainability")
_OF_GRADIENTS: Mapping[str, Callable[[measures.Gradients], float]] = {
    "snip": measures.snip,
    "gradient_norm": measures.gradient_norm,
    "zico": measures.zico,
}


@listed(
    "evaluator",
    "zero-cost",
    summary="scores a network that was not trained: SNIP, GraSP, SynFlow, NASWOT, ZiCo, Zen, AZ-NAS's parts, counts",
    source="Abdelfattah et al., ICLR 2021, arXiv:2101.08134; Lee & Ham, CVPR 2024, arXiv:2403.19232",
)
class ZeroCost(Evaluator):
    """Builds a candidate and scores it as it is; figures by the scores' names, larger is better.

    Weights follow the candidate's seed, inputs the evaluator's: all candidates see the same images, noise and classes.

    Args:
        space: Where candidates come from; its networks are sequences of stages.
        task: Where real images and classes come from: the training part.
        scores: Names of `SCORES`.
        batch_size: Images of each batch.
        seed: Of inputs.
        device: Where.

    Raises:
        UnknownNameError: If there is no such score.
        InvalidValueError: If there are none, or a batch of fewer than two images.
        UsageError: If the task has no images, or no classes where a score reads them.
    """

    chunk: ClassVar[int] = 8

    def __init__(
        self,
        space: Space,
        task: Task,
        scores: Sequence[str],
        *,
        batch_size: int = 64,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        for name in scores:
            if name not in SCORES:
                raise UnknownNameError("score", name, SCORES)
        if not scores or batch_size < 2:
            raise InvalidValueError(
                f"{len(scores)} scores of batches of {batch_size} images; give at least one score and two images"
            )
        task.check_taken_by(space)
        reads_data = any(SCORES[name].reads == "data" for name in scores)
        if len(space.input_shape) != 3 or (reads_data and task.n_classes is None):
            raise UsageError(
                f"zero-cost scores are of networks that put images into classes, and {task.name} is another task; "
                "leave them out"
            )
        self.space, self.task, self.scores = space, task, tuple(dict.fromkeys(scores))
        self.batch_size = batch_size
        self.device, self.seed = torch.device(device), seed
        rng = np.random.default_rng(derive_seed(seed, "zero-cost"))
        shape = (batch_size, *space.input_shape)
        self._noise = [torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device) for _ in range(2)]
        self._batches = self._real(task) if reads_data else []

    def _real(self, task: Task) -> list[measures.Batch]:
        """Two disjoint batches of the training part."""
        split = task.split("train")
        if split.n < 2 * self.batch_size:
            raise UsageError(
                f"zero-cost scores read two batches of {self.batch_size} images, and {task.name} has {split.n}; give a "
                "smaller batch"
            )
        batches = split.batches(self.batch_size, seed=derive_seed(self.seed, "zero-cost"), n_steps=2)
        pairs = ((tensors_of(batch.inputs)[0], tensors_of(batch.targets)[0]) for batch in batches)
        return [(images.to(self.device), classes.to(self.device)) for images, classes in pairs]

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        rows = self.space.decisions.rows([candidate.arch for candidate in candidates])
        counted = {name: _COUNTS[name](self.space, rows) for name in self.scores if name in _COUNTS}
        found: list[Metrics] = []
        for i, candidate in enumerate(candidates):
            computed = self._computed(candidate) | {name: float(column[i]) for name, column in counted.items()}
            found.append({name: computed[name] for name in self.scores})
        return found

    def _computed(self, candidate: Candidate) -> dict[str, float]:
        """All scores that need a network."""
        wanted = set(self.scores) - set(_COUNTS)
        if not wanted:
            return {}
        network = build_seeded(self.space, candidate.arch, candidate.seed).to(self.device)
        if wanted & {*_AZ_NAS, "zen"} and not isinstance(network, nn.Sequential):
            raise UsageError(
                f"networks of space {self.space.name!r} are no sequences of stages, whose maps "
                f"{', '.join(sorted(wanted & {*_AZ_NAS, 'zen'}))} read; choose other scores"
            )
        generator = torch.Generator(self.device).manual_seed(candidate.seed % 2**63)
        found: dict[str, float] = {}
        he_normal(network, generator)
        use_layout(network, True)
        layout = torch.channels_last if takes_channels_last(network) else torch.contiguous_format
        noise = [images.contiguous(memory_format=layout) for images in self._noise]
        batches = [(images.contiguous(memory_format=layout), classes) for images, classes in self._batches]
        if "layers" in wanted:
            found["layers"] = float(len(weighted(network)))
        if wanted & set(_OF_GRADIENTS):
            n = 2 if "zico" in wanted else 1
            each = measures.gradients(network, batches[:n])
            found |= {name: compute(each) for name, compute in _OF_GRADIENTS.items() if name in wanted}
        if "grasp" in wanted:
            found["grasp"] = measures.grasp(network, batches[0])
        if "naswot" in wanted:
            found["naswot"] = measures.naswot(network, noise[0])
        if wanted & set(_AZ_NAS):
            found |= measures.az_nas(network, noise[0], generator)
        if "synflow" in wanted:
            ones = torch.ones(1, *self.space.input_shape, dtype=torch.float64, device=self.device)
            found["synflow"] = measures.synflow(network, ones)
        if "zen" in wanted:
            standard_normal(network, generator)
            found["zen"] = measures.zen(network, *noise)
        return found

    def work(self, candidate: Candidate | None = None) -> Work:
        # roughly: a backward pass is two forward ones, GraSP's second one four
        passes = {"data": 5, "noise": 4, "ones": 0, "table": 0}
        return Work(n_scored=self.batch_size * max(passes[SCORES[name].reads] for name in self.scores))

    def blueprint(self, folder: Path) -> Blueprint:
        arguments = {
            "space": space_blueprint(self.space),
            "task": self.task.blueprint(folder),
            "scores": list(self.scores),
            "options": {"batch_size": self.batch_size, "seed": self.seed, "device": str(self.device)},
        }
        return Blueprint(f"{__name__}:rebuild", arguments)

    def model(self, arch: Arch, seed: int) -> nn.Module:
        raise UsageError("zero-cost scores train nothing; train the network from scratch")


def rebuild(space: Space, task: Task, scores: list[str], options: dict[str, Any]) -> ZeroCost:
    """The evaluator that a `ZeroCost.blueprint` describes.

    Args:
        space: Where candidates come from.
        task: Where real images and classes come from.
        scores: Names of `SCORES`.
        options: Further arguments of `ZeroCost`.
    """
    return ZeroCost(space, task, scores, **options)


def scores_of(name: str) -> tuple[str, ...]:
    """The scores of a combination, or the one of this name.

    Args:
        name: Of `SCORES` or `COMBINED`.

    Raises:
        UnknownNameError: If there is neither.
    """
    if name not in SCORES and name not in COMBINED:
        raise UnknownNameError("zero-cost score", name, [*SCORES, *COMBINED])
    return COMBINED.get(name, (name,))


def ordered(trials: Sequence[Trial], scores: Sequence[str]) -> list[Trial]:
    """Complete trials, those first that the rank aggregate of some scores puts first; ties go to the earlier one.

    Args:
        trials: With these scores as metrics.
        scores: Their names.
    """
    complete = [trial for trial in trials if trial.is_complete and all(name in trial.metrics for name in scores)]
    if not complete:
        return list(trials)
    columns = [np.array([trial.metrics[name] for trial in complete]) for name in scores]
    order = np.argsort(-measures.rank_aggregated(columns), kind="stable")
    return [complete[i] for i in order]


def scored(evaluator: ZeroCost, candidates: Sequence[Candidate], *, combined: str | None = None) -> np.ndarray:
    """(n,) one figure a candidate: its only score, or the rank aggregate of several.

    Args:
        evaluator: Gives the scores.
        candidates: The population that ranks are taken in.
        combined: One of `COMBINED`; None aggregates all scores of the evaluator.
    """
    found = evaluator.evaluate(candidates)
    names = evaluator.scores if combined is None else COMBINED[combined]
    columns = [np.array([metrics[name] for metrics in found]) for name in names]
    return columns[0] if len(columns) == 1 else measures.rank_aggregated(columns)
