"""The shared weights of a run that has trained them, opened again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from archwright.core.config import from_json
from archwright.core.errors import RunFolderError
from archwright.core.objective import Objective
from archwright.core.trial import Candidate
from archwright.evaluators.base import Evaluator
from archwright.evaluators.supernet import SupernetEvaluator
from archwright.policies.base import Policy
from archwright.recipes.base import Opened, SearchConfig, open_search
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import known_recipe
from archwright.runs.files import is_there, read_tensors
from archwright.runs.phase import CHECKPOINTS
from archwright.runs.record import FILE_NAME as RUN_FILE
from archwright.runs.record import read_record
from archwright.runs.run import open_run
from archwright.runs.status import RESULT
from archwright.search import SearchResult
from archwright.spaces.base import Space
from archwright.strategies.base import Feasible, Strategy
from archwright.tasks import open_task
from archwright.tasks.base import Part, Task
from archwright.training.checkpoint import load_network, under
from archwright.weight_sharing.base import WEIGHTS, WeightSharing
from archwright.weight_sharing.shared import SharedWeights


@dataclass(frozen=True)
class TrainedSupernet:
    """A run with trained shared weights, opened again.

    Attributes:
        config: The run's configuration.
        task: Its data, checked to be the same.
        space: The space of stand-alone networks.
        evaluator: Scores with the shared weights, as the run's own search does.
        device: Where they are.
    """

    config: SearchConfig
    task: Task
    space: Space
    evaluator: SupernetEvaluator
    device: torch.device


def open_supernet(folder: Path | str, *, part: Part = "validation") -> TrainedSupernet:
    """The trained shared weights in the folder of a run, finished or not; nothing in the folder changes.

    Args:
        folder: The run's folder.
        part: Which part of the data the evaluator scores on.

    Raises:
        UsageError: If it is no run of a method with shared weights, they are not trained yet, or its data have changed.
    """
    folder = Path(folder)
    if not os.path.lexists(folder / RUN_FILE):
        raise RunFolderError(
            f"{folder} holds no run (there is no {RUN_FILE}); give the folder of a run that trained a supernet"
        )
    record = read_record(folder)
    name, stored = record["recipe"], record["config"]
    if name in ("", "train", "rank"):
        raise RunFolderError(f"{folder} is a run of {name or 'no recipe'}; it leaves no supernet")
    recipe = known_recipe(name)
    config = from_json(recipe.config, {f.name: stored[f.name] for f in fields(recipe.config) if f.name in stored})
    task = open_task(str(stored.get("data")), seed=config.seed, **stored.get("data_options", {}))
    if task.fingerprint != stored.get("data_sha256"):
        raise RunFolderError(f"the data {task.name} are not those {folder} was trained on; restore them from a copy")
    opened = open_search(config, task)
    reopening = _Reopening(opened, folder, part)
    recipe.body(reopening, opened.config)
    if not isinstance(reopening.scored_by, SupernetEvaluator):
        raise RunFolderError(f"{folder} is a run of {name}; it leaves no supernet")
    return TrainedSupernet(opened.config, task, opened.space, reopening.scored_by, opened.device)


class _Reopening(OpenSearch):
    """Loads trained shared weights, and records the evaluator that the body scores with.

    Args:
        opened: The run's settings, opened.
        folder: The run's folder.
        part: What evaluators score on.
    """

    def __init__(self, opened: Opened, folder: Path, part: Part) -> None:
        super().__init__(open_run(None, {}, seed=opened.config.seed, threads=opened.config.threads), opened)
        self.folder, self.part = folder, part
        self.scored_by: Evaluator | None = None

    def train(self, phase: str, sharing: WeightSharing, shared: SharedWeights, policy: Callable[[], Policy]) -> None:
        checkpoint = self.folder / CHECKPOINTS / f"{phase}.safetensors"
        if not is_there(checkpoint) and is_there(self.folder / RESULT):
            raise RunFolderError(f"{checkpoint} is gone, which holds the trained {phase}; restore it from a copy")
        tensors, state = read_tensors(checkpoint) if is_there(checkpoint) else ({}, {})
        if not isinstance(state, dict) or state.get("is_done") is not True:
            raise RunFolderError(f"the {phase} of {self.folder} is not trained yet; finish the run with --resume first")
        load_network(shared.network, under(WEIGHTS, tensors) or tensors)

    def note(self, remark: Callable[[], str]) -> None:
        """Do nothing."""

    def derived_for(
        self, objective: Objective, derive: Callable[[Objective], Candidate], evaluator: Evaluator
    ) -> SearchResult:
        return self._remember(objective, evaluator)

    def _search(
        self, name: str, objective: Objective, strategy: Strategy, evaluator: Evaluator, domain: Feasible | None
    ) -> SearchResult:
        return self._remember(objective, evaluator)

    def _remember(self, objective: Objective, evaluator: Evaluator) -> SearchResult:
        """Note the evaluator of the first winner."""
        if self.scored_by is None:
            self.scored_by = evaluator
            if isinstance(evaluator, SupernetEvaluator):
                evaluator.part = self.part
        return self.unscored(objective, evaluator)
