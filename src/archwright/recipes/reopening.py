"""The supernet of a run of `spos`, opened again."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from archwright.core.config import from_json
from archwright.core.errors import RunFolderError
from archwright.evaluators.supernet import SupernetEvaluator
from archwright.recipes.spos import SposConfig
from archwright.runs.files import is_there, read_tensors
from archwright.runs.phase import CHECKPOINTS
from archwright.runs.record import FILE_NAME as RUN_FILE
from archwright.runs.record import read_record
from archwright.runs.status import RESULT
from archwright.spaces.base import Space
from archwright.spaces.opening import open_space_for
from archwright.tasks import open_task
from archwright.tasks.base import Part, Task
from archwright.training.checkpoint import load_network
from archwright.training.device import pick_device, set_threads
from archwright.training.networks import build_seeded


@dataclass(frozen=True)
class TrainedSupernet:
    """What a run whose supernet is trained holds, opened again.

    Attributes:
        config: The run's configuration.
        task: Its data, checked to be the same.
        space: The space of stand-alone networks.
        evaluator: Scores with the supernet's weights, as the run's own search does.
        device: Where the supernet is.
    """

    config: SposConfig
    task: Task
    space: Space
    evaluator: SupernetEvaluator
    device: torch.device


def open_supernet(folder: Path | str, *, part: Part = "validation") -> TrainedSupernet:
    """The trained supernet in the folder of a run of `spos`, finished or not; nothing in the folder changes.

    Args:
        folder: The run's folder.
        part: Which part of the data the evaluator scores on.

    Raises:
        UsageError: If it is no run of `spos`, its supernet is not trained yet, or its data have changed.
    """
    folder = Path(folder)
    if not os.path.lexists(folder / RUN_FILE):
        raise RunFolderError(f"{folder} holds no run (there is no {RUN_FILE}); give the folder of a run of spos")
    record = read_record(folder)
    if record["recipe"] != "spos":
        raise RunFolderError(f"{folder} is a run of {record['recipe'] or 'no recipe'}; only spos leaves a supernet")
    stored = record["config"]
    config = from_json(SposConfig, {f.name: stored[f.name] for f in fields(SposConfig) if f.name in stored})
    checkpoint = folder / CHECKPOINTS / "supernet.safetensors"
    if not is_there(checkpoint) and is_there(folder / RESULT):
        raise RunFolderError(f"{checkpoint} is gone, which holds the trained supernet; restore it from a copy")
    tensors, state = read_tensors(checkpoint) if is_there(checkpoint) else ({}, {})
    if not isinstance(state, dict) or state.get("is_done") is not True:
        raise RunFolderError(f"the supernet of {folder} is not trained yet; finish the run with --resume first")
    set_threads(config.threads)
    device = pick_device(config.device)
    task = open_task(str(stored.get("data")), seed=config.seed, **stored.get("data_options", {}))
    if task.fingerprint != stored.get("data_sha256"):
        raise RunFolderError(f"the data {task.name} are not those {folder} was trained on; restore them from a copy")
    space = open_space_for(task.name, task.space_args(), config.space, config.space_args)
    shared = space.search_form()
    supernet = build_seeded(shared, None, config.seed)
    load_network(supernet, tensors)
    evaluator = SupernetEvaluator(
        shared, supernet, task, config.calibration, seed=config.seed, device=device, part=part
    )
    return TrainedSupernet(config, task, space, evaluator, device)
