"""Scores candidates by short trainings that begin with their parents' weights (Lamarckian evolution)."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.blueprint import Blueprint
from archwright.core.catalog import listed
from archwright.core.config import from_json, to_json
from archwright.core.errors import RunFolderError
from archwright.core.trial import Candidate, Metrics
from archwright.evaluators.base import Evaluator, Work
from archwright.runs.files import Json, read_tensors, write_tensors
from archwright.spaces.base import Space
from archwright.spaces.opening import space_blueprint
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import validated
from archwright.training.lineage import Lineage
from archwright.training.loop import fit
from archwright.training.networks import build_seeded, train_network


@listed(
    "evaluator",
    "inherited",
    summary="trains a candidate on from what it shares with its parent, and scores it on the validation part",
    source="Elsken et al., ICLR 2019, arXiv:1804.09081; Chen et al., ICLR 2016, arXiv:1511.05641",
)
class Inherited(Evaluator):
    """Trains a candidate for a few steps from what it has in common with its parent, and scores it.

    Weights of each trial are kept in a folder by its number, so a search that is resumed, or one on several processes,
    finds those of the parents. A candidate's figures are a function of its own lineage: archs, seeds and budgets of all
    its ancestors.

    Args:
        space: Where candidates come from.
        task: Data, loss and metrics.
        training: Of a candidate without a parent.
        steps: Of one with a parent.
        folder: Where weights are kept; None takes a temporary one.
        device: Where.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        training: TrainingConfig,
        *,
        steps: int,
        folder: Path | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        task.check_taken_by(space)
        self.space, self.task, self.training, self.steps = space, task, training, steps
        self.device, self._lineage = torch.device(device), Lineage(space)
        self._scratch = _Scratch() if folder is None else None
        self.folder = self._root = folder or cast(_Scratch, self._scratch).folder

    def within(self, search: str) -> Inherited:
        other = copy(self)
        other.folder = self._root / search
        return other

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [self._evaluate(candidate) for candidate in candidates]

    def model(self, arch: Arch, seed: int) -> nn.Module:
        """The network with the weights of the last trial of this arch and seed; one without a trial is trained now."""
        for path in sorted(self.folder.glob("*.safetensors"), key=lambda one: -int(one.stem)):
            tensors, kept = _read(path)
            if kept["seed"] == seed and Arch.from_json(kept["arch"]) == arch:
                network = build_seeded(self.space, arch, seed)
                network.load_state_dict(tensors)
                return network.eval()
        return train_network(self.space, arch, self.task, self.training, part="train", seed=seed, device=self.device)[0]

    def work(self, candidate: Candidate | None = None) -> Work:
        training = self._training(candidate)
        n_steps = training.n_steps(self.task.split("train").n)
        return Work(n_steps, training.batch_size, self.task.split("validation").n)

    def blueprint(self, folder: Path) -> Blueprint:
        arguments = {
            "space": space_blueprint(self.space),
            "task": self.task.blueprint(folder),
            "training": to_json(self.training),
            "steps": self.steps,
            "folder": str(self.folder),
            "device": str(self.device),
        }
        return Blueprint(f"{__name__}:rebuild", arguments)

    def _evaluate(self, candidate: Candidate) -> Metrics:
        network = build_seeded(self.space, candidate.arch, candidate.seed, for_training=True)
        if candidate.parent is not None:
            tensors, arch = self._kept(candidate.parent)
            self._lineage.inherit(network, candidate.arch, tensors, arch)
        training = self._training(candidate)
        fit(network, self.task, training, part="train", seed=candidate.seed, device=self.device)
        tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
        kept: Json = {"arch": candidate.arch.to_json(), "seed": candidate.seed}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_tensors(self.folder / f"{candidate.number}.safetensors", tensors, kept)
        return validated(network, self.task, training, self.device)

    def _kept(self, number: int) -> tuple[dict[str, Tensor], Arch]:
        path = self.folder / f"{number}.safetensors"
        if not path.exists():
            raise RunFolderError(f"{path} with the weights of trial {number} is gone; its children cannot inherit them")
        tensors, kept = _read(path)
        return tensors, Arch.from_json(kept["arch"])

    def _training(self, candidate: Candidate | None) -> TrainingConfig:
        if candidate is None or candidate.parent is None:
            return self.training
        warmup = min(self.training.warmup_steps, self.steps // 10)
        return replace(self.training, steps=candidate.budget or self.steps, epochs=None, warmup_steps=warmup)


class _Scratch:
    """A temporary folder that is gone when no evaluator holds it any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="archwright-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, kept = read_tensors(path)
    return tensors, cast(dict[str, Any], kept)


def rebuild(space: Space, task: Task, training: dict[str, Any], steps: int, folder: str, device: str) -> Inherited:
    """The evaluator that an `Inherited.blueprint` describes.

    Args:
        space: The space of candidates.
        task: Data, loss and metrics.
        training: JSON form of the `TrainingConfig` of a candidate without a parent.
        steps: Of one with a parent.
        folder: Where weights are kept.
        device: Device to train on.
    """
    given = from_json(TrainingConfig, training)
    return Inherited(space, task, given, steps=steps, folder=Path(folder), device=device)
