"""Single Path One-Shot NAS (Guo et al., ECCV 2020, arXiv:1904.00420)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from archwright.core.catalog import listed
from archwright.core.config import to_json
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import derive_seed
from archwright.costs.base import Cost
from archwright.costs.counted import Macs, Params
from archwright.costs.limited import limited_costs, n_unmeasured, table_digest, with_tables
from archwright.costs.profiling import ProfileConfig
from archwright.evaluators.from_scratch import build_seeded
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator
from archwright.finish import effective_config, finish
from archwright.nn.choice import selection_of
from archwright.policies.uniform import UniformInCostBins, quantile_edges
from archwright.recipes.presets import default_threads, duration, small_training, spos_training
from archwright.result import Result, reopen
from archwright.runners.base import Runner
from archwright.runs.progress import Progress
from archwright.runs.run import Run, open_run
from archwright.search import SearchResult, search
from archwright.spaces.base import Space
from archwright.spaces.opening import open_space
from archwright.strategies.evolution import Evolution, EvolutionConfig
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.device import pick_device, place_inputs, set_threads, use_layout
from archwright.weight_sharing.uniform_path import UniformPath

N_MEASURED = 4
PAPER_SIDE = 224
PAPER_EDGES = tuple(1e6 * edge for edge in range(290, 370, 10))


@dataclass(frozen=True)
class SposConfig:
    """Numbers of a run; defaults are the released code's (megvii-model/SinglePathOneShot).

    Attributes:
        space: Search space, as `--space`.
        limits: (cost, upper limit) pairs.
        supernet: Training of the supernet.
        bin_edges: Edges of the bins of multiply–accumulates that paths are drawn from; empty: `n_bins` equal
            bins between the 1 % and 99 % quantiles of the space.
        n_bins: See `bin_edges`.
        calibration: Images that set batch-norm statistics of each candidate.
        evolution: The search.
        retrain: Training of the winner and of what it is compared with.
        n_draws: Random feasible architectures retrained beside the winner.
        latency_table: File of `archwright profile` for a limit on latency; without it the run measures one.
        profile: How it does so.
        seed: Of everything random.
        threads: Threads of one evaluation.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    space: str = "spos"
    limits: tuple[tuple[str, float], ...] = ()
    supernet: TrainingConfig = field(default_factory=lambda: spos_training(150_000))
    bin_edges: tuple[float, ...] = ()
    n_bins: int = 7
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)
    retrain: TrainingConfig = field(default_factory=lambda: spos_training(300_000))
    n_draws: int = 0
    latency_table: str | None = None
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    seed: int = 0
    threads: int = field(default_factory=default_threads)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.n_bins < 1:
            raise InvalidValueError(f"n_bins is {self.n_bins}; give at least 1")
        if self.n_draws < 0:
            raise InvalidValueError(f"n_draws is {self.n_draws}; give 0 or more")
        if self.threads < 1:
            raise InvalidValueError(f"threads is {self.threads}; give at least 1")
        self.objective("top1_accuracy", "max")

    def objective(self, metric: str, direction: Any) -> Objective:
        """What the search is after: the task's metric within the limits."""
        return Objective((Goal(metric, direction),), tuple(Constraint(cost, limit) for cost, limit in self.limits))

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
            if min(input_shape[1:]) != PAPER_SIDE:
                return cls()
            return cls(limits=(("macs", 330e6),), bin_edges=PAPER_EDGES)
        if name == "quick":
            return cls(
                supernet=replace(small_training(steps=900, batch_size=64), learning_rate=0.05),
                calibration=CalibrationConfig(batches=2, batch_size=256),
                evolution=EvolutionConfig(population=20, top=8, mutations=10, crossovers=10, generations=3),
                retrain=small_training(steps=400, batch_size=64),
                n_draws=3,
            )
        if name == "smoke":
            return cls(
                supernet=small_training(steps=8, batch_size=32),
                calibration=CalibrationConfig(batches=1, batch_size=64),
                evolution=EvolutionConfig(population=4, top=2, mutations=2, crossovers=2, generations=1),
                retrain=small_training(steps=8, batch_size=32),
                n_draws=1,
                profile=ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1),
            )
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
    set_threads(config.threads)
    device = pick_device(config.device)
    space = open_space(config.space, input_shape=task.input_shape, n_classes=task.n_classes)
    objective = config.objective(task.metric, task.direction)
    costs = limited_costs(space, objective, config.latency_table)
    identity = {"recipe": "spos", "decisions_sha256": space.decisions.fingerprint}
    effective = effective_config({**identity, **to_json(config), **table_digest(config.latency_table)}, task)
    with open_run(
        out, effective, seed=config.seed, resume=resume, progress=progress, threads=config.threads, recipe="spos"
    ) as run:
        if run.result is not None:
            return reopen(run, space)
        costs = with_tables(run, space, objective, costs, config.profile)
        evaluator, curve = _train_supernet(run, config, space, task, device)
        found = _search(run, config, space, evaluator, objective, costs, runner)
        return finish(
            run,
            space,
            found,
            task,
            config.retrain,
            recipe="spos",
            n_draws=config.n_draws,
            device=device,
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


def _search(
    run: Run,
    config: SposConfig,
    space: Space,
    evaluator: SupernetEvaluator,
    objective: Objective,
    costs: Sequence[Cost],
    runner: Runner | None,
) -> SearchResult:
    strategy = Evolution(space, config.evolution, seed=derive_seed(run.seed, "search"))
    with run.phase("search", total=strategy.n_trials) as phase:
        found = search(
            space,
            strategy,
            evaluator,
            objective,
            costs=[Params(), Macs(), *costs],
            store=run.store("search"),
            runner=runner,
            phase=phase,
        )
        if not phase.is_done:
            phase.finish()
    return found


def estimate(config: SposConfig, task: Task) -> list[str]:
    """Lines that say how long a run will take on this machine, from a few steps measured now."""
    set_threads(config.threads)
    device = pick_device(config.device)
    space = open_space(config.space, input_shape=task.input_shape, n_classes=task.n_classes)
    costs = limited_costs(space, config.objective(task.metric, task.direction), config.latency_table)
    step_s, forward_s = _measure(space.search_form(), task, device, min(config.supernet.batch_size, 64))
    n_supernet = config.supernet.n_steps(task.split("train").n)
    n_retrain = config.retrain.n_steps(task.split("train+validation").n)
    n_networks = 2 + config.n_draws
    n_images = config.calibration.batches * config.calibration.batch_size + task.split("validation").n
    supernet_s = n_supernet * config.supernet.batch_size * step_s
    search_s = 2 * config.evolution.n_evaluations * n_images * forward_s
    retrain_s = n_networks * n_retrain * config.retrain.batch_size * step_s
    parts = {
        f"supernet, {n_supernet:,} steps of {config.supernet.batch_size}": supernet_s,
        f"search and baseline, {config.evolution.n_evaluations:,} evaluations each": search_s,
        f"retraining, {n_networks} networks of {n_retrain:,} steps": retrain_s,
    }
    lines = [f"  {duration(seconds):>9}  {what}" for what, seconds in parts.items()]
    if n_unmeasured(costs):
        lines.append(f"  {'unknown':>9}  measuring a latency table first, unless --set latency_table=FILE gives one")
    return [f"estimated time {duration(sum(parts.values()))} on {config.threads} threads of {device.type}", *lines]


def _measure(space: Space, task: Task, device: torch.device, batch_size: int) -> tuple[float, float]:
    """Seconds an image of a training step and of a forward pass, for a random path."""
    supernet = build_seeded(space, None, 0).to(device)
    use_layout(supernet, True)
    selection = selection_of(supernet)
    rows = space.decisions.sample(N_MEASURED, np.random.default_rng(0))
    inputs, targets = task.example(batch_size)
    images, targets = place_inputs(inputs, device, True), targets.to(device)
    steps, forwards = [], []
    for row in [*rows, *rows]:  # the first round only warms up
        selection.activate_row(row)
        started = time.perf_counter()
        loss = task.loss(supernet(images), targets)
        forwards.append(time.perf_counter() - started)
        torch.autograd.backward(loss)
        steps.append(time.perf_counter() - started)
    return float(np.mean(steps[N_MEASURED:])) / batch_size, float(np.mean(forwards[N_MEASURED:])) / batch_size


spos.config = SposConfig  # type: ignore[attr-defined]
spos.estimate = estimate  # type: ignore[attr-defined]
