"""Single Path One-Shot NAS (Guo et al., ECCV 2020, arXiv:1904.00420)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.costs.counted import Macs
from archwright.costs.profiling.profile import ProfileConfig
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator
from archwright.finish.finishing import finish
from archwright.finish.result import Result, reopen
from archwright.nn.choice import selection_of
from archwright.policies.uniform import UniformInCostBins, quantile_edges
from archwright.recipes.base import (
    SearchConfig,
    known_to_commands,
    open_search,
    run_search,
    unmeasured_notes,
)
from archwright.recipes.limited_costs import with_tables
from archwright.recipes.presets import small_training, spos_training, suited
from archwright.recipes.workload import MAX_MEASURED, Work, Workload, training_step
from archwright.runners.base import Runner
from archwright.runs.progress import Progress
from archwright.runs.run import Run
from archwright.spaces.base import Space
from archwright.strategies.evolution import Evolution, EvolutionConfig
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.device import use_layout
from archwright.training.networks import build_seeded
from archwright.weight_sharing.uniform_path import UniformPath

N_MEASURED = 4
PAPER_SIDE = 224
PAPER_EDGES = tuple(1e6 * edge for edge in range(290, 370, 10))


@dataclass(frozen=True)
class SposConfig(SearchConfig):
    """Numbers of a run; defaults are the released code's (megvii-model/SinglePathOneShot).

    Attributes:
        supernet: Training of the supernet.
        bin_edges: Edges of the bins of multiply–accumulates that paths are drawn from; empty: `n_bins` equal
            bins between the 1 % and 99 % quantiles of the space.
        n_bins: See `bin_edges`.
        calibration: Images that set batch-norm statistics of each candidate.
        evolution: The search.
    """

    supernet: TrainingConfig = field(default_factory=lambda: spos_training(150_000))
    bin_edges: tuple[float, ...] = ()
    n_bins: int = 7
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_bins", self.n_bins, 1, 10_000)
        edges = self.bin_edges
        if edges and (len(edges) < 2 or not all(a < b < math.inf for a, b in itertools.pairwise(edges))):
            raise InvalidValueError(f"bin_edges is {edges}; give two or more rising numbers, or none")

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        """`smoke` (seconds), `quick` (minutes on two cores) or `paper`.

        Args:
            name: Which.
            input_shape: (C, H, W) of the data; the paper's limit and bins belong to 224 pixels only.

        Raises:
            InvalidValueError: If there is no such preset.
        """
        if name == "paper":
            if len(input_shape) != 3 or min(input_shape[1:]) != PAPER_SIDE:
                return cls()
            return cls(limits=(("macs", 330e6),), bin_edges=PAPER_EDGES)
        if name == "quick":
            quick = cls(
                supernet=replace(small_training(steps=900, batch_size=64), learning_rate=0.05),
                calibration=CalibrationConfig(batches=2, batch_size=256),
                evolution=EvolutionConfig(population=20, top=8, mutations=10, crossovers=10, generations=3),
                retrain=small_training(steps=400, batch_size=64),
                n_draws=3,
            )
            return suited(quick, input_shape)
        if name == "smoke":
            smoke = cls(
                supernet=small_training(steps=8, batch_size=32),
                calibration=CalibrationConfig(batches=1, batch_size=64),
                evolution=EvolutionConfig(population=4, top=2, mutations=2, crossovers=2, generations=1),
                retrain=small_training(steps=8, batch_size=32),
                n_draws=1,
                profile=ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1),
            )
            return suited(smoke, input_shape)
        raise InvalidValueError(f"unknown preset {name!r}; choose smoke, quick or paper")


@listed(
    "recipe",
    "spos",
    summary="single-path one-shot: train a supernet one path a step, search it by evolution under limits, "
    "retrain the winner",
    source="Guo et al., ECCV 2020, arXiv:1904.00420",
)
def spos(
    config: SposConfig,
    task: Task,
    *,
    out: Path | str | None = None,
    runner: Runner | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Single Path One-Shot NAS (Guo et al., arXiv:1904.00420).

    Deviations from the released code: calibration by a cumulative mean; ties broken by age; retraining ends
    without the extra pass over the data that re-estimates batch-norm statistics.

    Args:
        config: Numbers of the run.
        task: What to train for.
        out: The run's folder; None keeps everything in memory and exports nothing.
        runner: Where candidates are evaluated; in this process by default.
        resume: Go on with the run in `out`; a finished one is only opened.
        progress: Where to show how far it is.

    Raises:
        UsageError: Before anything starts: an unknown name, an unreachable limit, an unusable folder.
        RunError: After the start.
    """
    opened = open_search(config, task)
    with opened.begin("spos", out=out, resume=resume, progress=progress) as run:
        space = opened.space
        if run.result is not None:
            return reopen(run, space)
        costs = with_tables(run, space, opened.objective, opened.costs, config.profile)
        evaluator, curve = _train_supernet(run, config, space, task, opened.device)
        strategy = Evolution(space, config.evolution, seed=derive_seed(run.seed, "search"))
        return finish(
            run,
            space,
            run_search(run, opened, strategy, evaluator, costs, runner),
            task,
            config.retrain,
            recipe="spos",
            n_draws=config.n_draws,
            device=opened.device,
            curves={"supernet": curve},
        )


def _train_supernet(
    run: Run, config: SposConfig, space: Space, task: Task, device: torch.device
) -> tuple[SupernetEvaluator, Any]:
    """The trained supernet as an evaluator, and its loss curve."""
    shared = space.search_form()
    supernet = build_seeded(shared, None, run.seed)
    rng = np.random.default_rng(derive_seed(run.seed, "bins"))
    edges = config.bin_edges or quantile_edges(space, Macs(), rng, n_bins=config.n_bins)
    policy = UniformInCostBins(space, Macs(), edges)
    n_steps = config.supernet.n_steps(task.split("train").n)
    with run.phase("supernet", total=n_steps) as phase:
        log = UniformPath(config.supernet).fit(
            supernet, policy, task, seed=derive_seed(run.seed, "supernet"), device=device, phase=phase
        )
    return SupernetEvaluator(shared, supernet, task, config.calibration, seed=run.seed, device=device), log.curve


def workload(config: SposConfig, task: Task) -> Workload:
    """What a run computes; its step is one of random paths."""
    opened = open_search(config, task)
    batch_size = min(config.supernet.batch_size, MAX_MEASURED)
    n_supernet = config.supernet.n_steps(task.split("train").n)
    n_retrain = config.retrain.n_steps(task.split("train+validation").n)
    n_networks = 2 + config.n_draws
    n_images = config.calibration.batches * config.calibration.batch_size + task.split("validation").n
    n_evaluations = config.evolution.n_evaluations
    parts = {
        f"supernet, {n_supernet:,} steps of {config.supernet.batch_size}": (
            Work(n_supernet * config.supernet.batch_size)
        ),
        f"search and baseline, {n_evaluations:,} evaluations each": Work(0, 2 * n_evaluations * n_images),
        f"retraining, {n_networks} networks of {n_retrain:,} steps": (
            Work(n_networks * n_retrain * config.retrain.batch_size)
        ),
    }
    step = training_step(_paths(opened.space.search_form(), opened.device), task, opened.device, batch_size)
    return Workload(step, batch_size, N_MEASURED, parts, config.threads, opened.device, unmeasured_notes(opened))


def _paths(space: Space, device: torch.device) -> Callable[[int], nn.Module]:
    """A supernet that takes the i-th of some random paths."""
    supernet = build_seeded(space, None, 0).to(device)
    use_layout(supernet, True)
    selection, rows = selection_of(supernet), space.decisions.sample(N_MEASURED, np.random.default_rng(0))

    def path(i: int) -> nn.Module:
        selection.activate_row(rows[i % N_MEASURED])
        return supernet

    return path


known_to_commands(spos, SposConfig, workload)
