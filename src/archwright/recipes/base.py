"""What recipes with a search share: their settings, what is opened before a run, the search, the estimate of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from archwright.core.config import MAX_THREADS, check_range, to_json
from archwright.core.objective import Constraint, Goal, Objective
from archwright.costs.base import Cost
from archwright.costs.counted import Macs, Params
from archwright.costs.profiling.profile import ProfileConfig
from archwright.costs.watch import MAX_LISTED, Watch
from archwright.evaluators.base import Evaluator
from archwright.finish.finishing import effective_config
from archwright.recipes.limited_costs import limited_costs, n_unmeasured, table_digest
from archwright.recipes.presets import default_threads, spos_training
from archwright.recipes.workload import Workload
from archwright.runners.base import Runner
from archwright.runs.progress import Progress
from archwright.runs.run import Run, open_run
from archwright.search import SearchResult, search
from archwright.spaces.base import Space
from archwright.spaces.opening import open_space
from archwright.strategies.base import Strategy
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.device import pick_device, set_threads


@dataclass(frozen=True)
class SearchConfig:
    """Settings of every search.

    Attributes:
        space: Search space, as `--space`.
        limits: (cost, upper limit) pairs.
        retrain: Training of the winner and of what it is compared with.
        n_draws: Random feasible architectures retrained beside the winner.
        latency_table: File of `archwright profile` for a limit on latency; without it the run measures one.
        profile: How it does so.
        seed: Of everything random.
        threads: Threads of one evaluation; by default OMP_NUM_THREADS or all cores, from which a command may depart.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    space: str = "spos"
    limits: tuple[tuple[str, float], ...] = ()
    retrain: TrainingConfig = field(default_factory=lambda: spos_training(300_000))
    n_draws: int = 0
    latency_table: str | None = None
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    seed: int = 0
    threads: int = field(default_factory=default_threads)
    device: str = "auto"

    def __post_init__(self) -> None:
        check_range("n_draws", self.n_draws, 0, 10_000)
        check_range("threads", self.threads, 1, MAX_THREADS)
        self.objective("top1_accuracy", "max")

    def objective(self, metric: str, direction: Any) -> Objective:
        """What the search is after: the task's metric within the limits."""
        return Objective((Goal(metric, direction),), tuple(Constraint(cost, limit) for cost, limit in self.limits))


@dataclass(frozen=True)
class Opened:
    """What a run is made of, checked before it starts.

    Attributes:
        config: Its settings.
        task: Its data.
        space: The space of stand-alone networks, made for these data.
        objective: What is sought, within which limits.
        costs: The limited costs; a latency may lack its table yet.
        device: Where everything is computed.
    """

    config: SearchConfig
    task: Task
    space: Space
    objective: Objective
    costs: list[Cost]
    device: torch.device

    def effective(self, recipe: str) -> dict[str, Any]:
        """What run.json keeps as the run's configuration."""
        identity = {"recipe": recipe, "decisions_sha256": self.space.decisions.fingerprint}
        stated = {**identity, **to_json(self.config), **table_digest(self.config.latency_table)}
        return effective_config(stated, self.task)

    def begin(self, recipe: str, *, out: Path | str | None, resume: bool, progress: Progress | None) -> Run:
        """The run of these settings, begun or gone on with; arguments and errors as of `open_run`."""
        return open_run(
            out,
            self.effective(recipe),
            seed=self.config.seed,
            resume=resume,
            progress=progress,
            threads=self.config.threads,
            recipe=recipe,
        )

    def n_members(self) -> int:
        """How many architectures keep the limits; of a large space, or before a latency is measured, all count."""
        size = self.space.size()
        if not self.costs or size > MAX_LISTED or n_unmeasured(self.costs):
            return size
        feasible = Watch(self.space, self.costs).feasible(self.objective)
        return int(feasible(self.space.decisions.enumerate_rows()).sum())


def open_search(config: SearchConfig, task: Task) -> Opened:
    """Open what a configuration names, and set the threads.

    Raises:
        UsageError: An unknown name, data the space does not take, an unreachable limit.
    """
    set_threads(config.threads)
    device = pick_device(config.device)
    space = open_space(config.space, input_shape=task.input_shape, n_classes=task.n_classes)
    objective = config.objective(task.metric, task.direction)
    return Opened(config, task, space, objective, limited_costs(space, objective, config.latency_table), device)


def run_search(
    run: Run,
    opened: Opened,
    strategy: Strategy,
    evaluator: Evaluator,
    costs: Sequence[Cost],
    runner: Runner | None,
    *,
    total: int | None = None,
) -> SearchResult:
    """The search of a run, as its phase "search".

    Args:
        run: Where it happens.
        opened: What is searched, and for what.
        strategy: What to try.
        evaluator: What it is worth.
        costs: The limited costs, each with its table.
        runner: Where candidates are evaluated; None is this process.
        total: Trials to expect; the strategy's most by default.
    """
    with run.phase("search", total=total or strategy.n_trials) as phase:
        found = search(
            opened.space,
            strategy,
            evaluator,
            opened.objective,
            costs=[Params(), Macs(), *costs],
            store=run.store("search"),
            runner=runner,
            phase=phase,
        )
        if not phase.is_done:
            phase.finish()
    return found


def known_to_commands(recipe: Any, config: type[Any], workload: Callable[[Any, Task], Workload]) -> None:
    """Hang on a recipe what the command line reads of it: the class of its settings, what a run computes, how long."""
    recipe.config, recipe.workload = config, workload
    recipe.estimate = lambda config, task: workload(config, task).estimate()


def unmeasured_notes(opened: Opened) -> list[str]:
    """What the estimate of a search's time has to leave out."""
    if n_unmeasured(opened.costs):
        return ["measuring a latency table first, unless --set latency_table=FILE gives one"]
    return []
