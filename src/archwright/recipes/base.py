"""What recipes with a search share: their settings, and what is opened from them before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from archwright.core.config import MAX_THREADS, MAX_TRIALS, absent_settings, added_field, check_range, to_json
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Constraint, Direction, Goal, Objective
from archwright.costs.base import Cost
from archwright.costs.profiling.profile import ProfileConfig
from archwright.costs.watch import MAX_LISTED, Watch
from archwright.evaluators.zero_cost.scores import scores_of
from archwright.finish import FinalTraining, Provenance, effective_config
from archwright.finish.quantised import MIN_AGREEMENT, Int8Terms
from archwright.recipes.augmenting import settled
from archwright.recipes.limited_costs import check_counted, limited_costs, n_unmeasured, table_digest
from archwright.recipes.presets import check_start, check_time, default_threads, spos_training
from archwright.recipes.trying import try_out
from archwright.runs.files import Json, digest
from archwright.runs.progress import Progress
from archwright.runs.run import Run, open_run
from archwright.spaces.base import Space
from archwright.spaces.opening import code_identity, open_space_for
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.device import pick_device, set_threads

N_DRAWN, MAX_DRAWS = 32, 8
"""Archs that are drawn at once to find some within limits, and how often."""


@dataclass(frozen=True)
class SearchConfig:
    """Settings of every search.

    Attributes:
        space: Search space, as `--space`.
        space_args: Its settings, as `--space-set`; arguments of its constructor beside those that the data decide.
        limits: (cost, upper limit) pairs; one cost may have several limits, and each gives a winner of its own.
        weights: File of the weights that a supernet begins with; None begins with fresh ones.
        ignore: Names of its tensors, or of modules with all below them, that begin with fresh weights all the same.
        averaged: Whether a torch file's moving average is taken, and not the weights beside it.
        allow_uncounted: Whether a limit on multiply-accumulates may leave out operations that no rule counts.
        goals: Costs to minimise behind the task's metric; the metric picks the winner.
        zero_cost: A zero-cost score, or a combination of some, of `archwright.evaluators.zero_cost`: the search begins
            with those of a pool of random architectures that it ranks first. Empty begins at random.
        zero_cost_pool: How many architectures that are.
        retrain: Training of the winner and of what it is compared with.
        final: How these come by their weights: "scratch" (trained from fresh weights), "fine-tuned" (trained on from
            the weights that the search scored them by) or "inherited" (those weights as they are).
        n_draws: Random feasible architectures retrained beside the winner.
        plain: Whether a plain network, built for the same limits, is trained beside the winner.
        int8: Whether the winner also becomes an 8-bit file, `best/model.int8.onnx`.
        int8_agreement: Least share of validation images that it and the float file must put into the same class.
        latency_table: File of `archwright profile` for a limit on latency; without it the run measures one.
        profile: How it does so.
        seed: Of everything random.
        threads: Threads of one evaluation; by default OMP_NUM_THREADS or all cores, from which a command may depart.
        device: "auto", "cpu", "cuda" or "cuda:N".
        time_s: Seconds of the whole run, as `--time`; the lengths above then only say how it is shared. None takes them
            as they are.
        plan: Lengths of another run's plan by part, as `--plan`, to repeat that run.
    """

    space: str = "spos"
    space_args: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[tuple[str, float], ...] = ()
    goals: tuple[str, ...] = added_field((), absent=())
    allow_uncounted: bool = added_field(False, absent=True)
    weights: str | None = added_field(None, absent=None)
    ignore: tuple[str, ...] = added_field((), absent=())
    averaged: bool = added_field(False, absent=False)
    zero_cost: str = added_field("", absent="")
    zero_cost_pool: int = added_field(256, absent=256)
    retrain: TrainingConfig = field(default_factory=lambda: spos_training(300_000))
    final: Provenance = added_field("scratch", absent="scratch")
    n_draws: int = 0
    plain: bool = added_field(True, absent=False)
    int8: bool = added_field(True, absent=False)
    int8_agreement: float = added_field(MIN_AGREEMENT, absent=MIN_AGREEMENT)
    latency_table: str | None = None
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    seed: int = 0
    threads: int = field(default_factory=default_threads)
    device: str = "auto"
    time_s: float | None = added_field(None, absent=None)
    plan: Mapping[str, int] | None = added_field(None, absent=None)

    def __post_init__(self) -> None:
        check_range("n_draws", self.n_draws, 0, 10_000)
        check_start(self.weights, self.ignore, averaged=self.averaged)
        check_time(self.time_s, self.plan)
        check_range("zero_cost_pool", self.zero_cost_pool, 1, MAX_TRIALS)
        if self.zero_cost:
            scores_of(self.zero_cost)
        check_range("int8_agreement", self.int8_agreement, 0, 1)
        check_range("threads", self.threads, 1, MAX_THREADS)
        self.objectives("top1_accuracy", "max")

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        """The settings of a preset: `smoke` (seconds), `quick` (minutes), `long` (an hour), `paper` where there is one.

        Args:
            name: Which.
            input_shape: (C, H, W) of images, (T,) of texts.

        Raises:
            InvalidValueError: If there is no such preset.
        """
        raise InvalidValueError(f"{cls.__name__} has no presets")

    def objectives(self, metric: str, direction: Direction) -> list[Objective]:
        """The objective of each winner: goals and limits.

        Args:
            metric: What trials are ranked by.
            direction: Which way it is better.

        Raises:
            InvalidValueError: If two costs have several limits each, or a limit is no positive number.
        """
        goals = (Goal(metric, direction), *(Goal(cost, "min") for cost in self.goals))
        by_cost: dict[str, list[float]] = {}
        for cost, limit in self.limits:
            by_cost.setdefault(cost, []).append(limit)
        several = [cost for cost, values in by_cost.items() if len(values) > 1]
        if len(several) > 1:
            raise InvalidValueError(
                f"limits of {' and '.join(several)} have several values each; give several to one cost at most"
            )
        for cost, values in by_cost.items():
            if len(set(values)) < len(values):
                raise InvalidValueError(f"a limit on {cost} is given twice: {', '.join(f'{v:,.10g}' for v in values)}")
        n = max((len(values) for values in by_cost.values()), default=1)
        chosen = [{cost: values[min(i, len(values) - 1)] for cost, values in by_cost.items()} for i in range(n)]
        return [Objective(goals, tuple(Constraint(cost, limit) for cost, limit in one.items())) for one in chosen]

    @property
    def final_training(self) -> FinalTraining:
        """How winner, baseline and random draws come by their final weights."""
        return FinalTraining(self.retrain, self.final)

    @property
    def int8_terms(self) -> Int8Terms | None:
        """When a winner's int8 file is good enough; None where none is to be made."""
        seen = "in the search" if self.final == "inherited" else "in training"
        return Int8Terms(self.int8_agreement, seen) if self.int8 else None


@dataclass(frozen=True)
class Opened:
    """What a run is made of, checked before it starts.

    Attributes:
        config: Its settings, with the augmentation that the data usually get where they say "usual".
        task: Its data.
        space: The space of stand-alone networks, made for these data.
        objectives: What is sought, within which limits; one a winner.
        costs: The costs that limits and goals name; a latency may lack its table yet.
        device: Where everything is computed.
        remarks: What was found of a user's own space, in a line each.
    """

    config: SearchConfig
    task: Task
    space: Space
    objectives: tuple[Objective, ...]
    costs: list[Cost]
    device: torch.device
    remarks: tuple[str, ...] = ()

    def effective(self, recipe: str) -> dict[str, Any]:
        """What run.json keeps as the run's configuration."""
        identity = {"recipe": recipe, "decisions_sha256": self.space.decisions.fingerprint, **code_identity(self.space)}
        given = {} if self.config.weights is None else {"weights_sha256": digest(self.config.weights)}
        stated = {**identity, **to_json(self.config), **table_digest(self.config.latency_table), **given}
        return effective_config(stated, self.task)

    def begin(
        self,
        recipe: str,
        *,
        out: Path | str | None,
        resume: bool,
        accept_code_change: bool = False,
        progress: Progress | None,
        documents: Mapping[str, Json] | None = None,
    ) -> Run:
        """The run of these settings, begun or gone on with.

        Args:
            recipe: Name of the method.
            out: The run's folder; None keeps everything in memory.
            resume: Go on with the run in it.
            accept_code_change: Go on though the code of a user's space was edited since the start.
            progress: Where to show how far it is.
            documents: JSON by file name that the folder of a new run keeps.

        Raises:
            RunFolderError: As `open_run`.
        """
        return open_run(
            out,
            self.effective(recipe),
            seed=self.config.seed,
            resume=resume,
            progress=progress,
            threads=self.config.threads,
            recipe=recipe,
            absent=absent_settings(self.config),
            documents=documents,
            accept_code_change=accept_code_change,
        )

    def n_members(self, objective: Objective) -> int:
        """How many architectures keep the limits; of a large space, or before a latency is measured, all count."""
        size = self.space.size()
        if not self.costs or size > MAX_LISTED or n_unmeasured(self.costs):
            return size
        feasible = Watch(self.space, self.costs).feasible(objective)
        return int(feasible(self.space.decisions.enumerate_rows()).sum())

    def members(self, n: int) -> Rows:
        """A few archs within the limits of some winner that can be counted: what a search will mostly train.

        They are the same at each call; where hardly any arch keeps the limits, they are any archs.

        Args:
            n: How many.
        """
        rng, space = np.random.default_rng(0), self.space
        counted = [cost for cost in self.costs if not n_unmeasured([cost])]
        watch, names = Watch(space, counted), {cost.name for cost in counted}
        known = [tuple(one for one in each.constraints if one.cost in names) for each in self.objectives]
        if not any(known):
            return space.decisions.sample(n, rng)
        within = [watch.feasible(replace(self.objectives[0], constraints=limits)) for limits in known]
        found = space.decisions.sample(0, rng)
        for _ in range(MAX_DRAWS):
            drawn = space.decisions.sample(max(n, N_DRAWN), rng)
            keeps = np.logical_or.reduce([each(drawn) for each in within])
            found = np.concatenate([found, drawn[keeps]])[:n]
            if len(found) == n:
                return found
        return np.concatenate([found, drawn])[:n]

    def with_costs(self, costs: list[Cost]) -> Opened:
        """The same run with costs that have their latency tables."""
        return replace(self, costs=costs)


def open_search(config: SearchConfig, task: Task) -> Opened:
    """Open what a configuration names, and set the threads.

    Raises:
        UsageError: An unknown name, data the space does not take, an unreachable limit, an augmentation that the data
            do not take.
    """
    set_threads(config.threads)
    device, config = pick_device(config.device), settled(config, task)
    space = open_space_for(task.name, task.space_args(), config.space, config.space_args)
    task.check_taken_by(space)
    remarks = try_out(space)
    objectives = tuple(config.objectives(task.search_metric, task.search_direction))
    costs = limited_costs(space, objectives, config.goals, config.latency_table)
    if uncounted := check_counted(space, objectives, costs, is_allowed=config.allow_uncounted):
        remarks = (*remarks, uncounted)
    return Opened(config, task, space, objectives, costs, device, remarks)
