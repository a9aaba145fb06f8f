"""Searches that train each candidate on its own: random, grid, regularized evolution.

They differ in what they try next and in nothing else; training, baseline and what follows are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import nn

from archwright.core.catalog import listed
from archwright.core.config import MAX_TRIALS, check_range
from archwright.core.errors import InvalidValueError
from archwright.core.trial import derive_seed
from archwright.costs.profiling.profile import ProfileConfig
from archwright.evaluators.from_scratch import FromScratch
from archwright.finish.finishing import finish
from archwright.finish.result import Result, reopen
from archwright.recipes.base import (
    Opened,
    SearchConfig,
    known_to_commands,
    open_search,
    run_search,
    unmeasured_notes,
)
from archwright.recipes.limited_costs import with_tables
from archwright.recipes.presets import small_training, suited
from archwright.recipes.workload import MAX_MEASURED, Work, Workload, training_step
from archwright.runners.base import Runner
from archwright.runs.progress import Progress
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy
from archwright.strategies.grid import Grid, GridConfig
from archwright.strategies.random import Random
from archwright.strategies.regularized_evolution import RegularizedEvolution, RegularizedEvolutionConfig
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.device import use_layout
from archwright.training.networks import build_seeded

N_MEASURED = 3


def amoeba_training(epochs: int) -> TrainingConfig:
    """Training of AmoebaNet on CIFAR-10 (Real et al., 2019), without its path dropout and auxiliary head."""
    return TrainingConfig(
        epochs=epochs, batch_size=128, learning_rate=0.024, momentum=0.9, weight_decay=5e-4, schedule="cosine"
    )


def _small(steps: int, batch_size: int = 64) -> TrainingConfig:
    """A rate at which networks without batch norm learn too."""
    return replace(small_training(steps=steps, batch_size=batch_size), learning_rate=0.05)


@dataclass(frozen=True)
class TrialsConfig(SearchConfig):
    """Settings of a search that trains each candidate; by default the lengths of Real et al. (AAAI 2019).

    Attributes:
        training: Of each candidate, on the training part; it is scored on the validation part.
    """

    training: TrainingConfig = field(default_factory=lambda: amoeba_training(25))
    retrain: TrainingConfig = field(default_factory=lambda: amoeba_training(600))

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        """`smoke` (seconds), `quick` (minutes on two cores), and `paper` where there is one.

        Args:
            name: Which.
            input_shape: (C, H, W) of images, (T,) of texts.

        Raises:
            InvalidValueError: If there is no such preset.
        """
        presets = cls._lengths()
        if name not in presets:
            raise InvalidValueError(f"unknown preset {name!r}; choose {' or '.join(presets)}")
        if name == "smoke":
            profile = ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1)
            short = cls(training=_small(8, 32), retrain=_small(8, 32), n_draws=1, profile=profile, **presets[name])
            return suited(short, input_shape)
        if name == "quick":
            return suited(cls(training=_small(200), retrain=_small(400), n_draws=3, **presets[name]), input_shape)
        return cls(**presets[name])

    @classmethod
    def _lengths(cls) -> dict[str, dict[str, Any]]:
        """How much each preset tries."""
        raise AssertionError("a config is one of the classes below")


@dataclass(frozen=True)
class RandomSearchConfig(TrialsConfig):
    """Numbers of a random search; `paper` spends what Real et al. gave it beside evolution.

    Attributes:
        n_trials: Architectures tried.
    """

    n_trials: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_trials", self.n_trials, 1, MAX_TRIALS)

    @classmethod
    def _lengths(cls) -> dict[str, dict[str, Any]]:
        return {"smoke": {"n_trials": 4}, "quick": {"n_trials": 20}, "paper": {}}


@dataclass(frozen=True)
class GridSearchConfig(TrialsConfig):
    """Numbers of a grid search.

    Attributes:
        grid: Which members, and how many.
    """

    grid: GridConfig = field(default_factory=GridConfig)

    @classmethod
    def _lengths(cls) -> dict[str, dict[str, Any]]:
        return {"smoke": {"grid": GridConfig(n_trials=4)}, "quick": {"grid": GridConfig(n_trials=30)}}


@dataclass(frozen=True)
class EvolutionSearchConfig(TrialsConfig):
    """Numbers of a regularized evolution.

    Attributes:
        evolution: The search.
    """

    evolution: RegularizedEvolutionConfig = field(default_factory=RegularizedEvolutionConfig)

    @classmethod
    def _lengths(cls) -> dict[str, dict[str, Any]]:
        # so short a search cannot afford to train an arch twice
        few = partial(RegularizedEvolutionConfig, identity_probability=0.0)
        return {
            "smoke": {"evolution": few(population=3, sample=2, cycles=5)},
            "quick": {"evolution": few(population=8, sample=3, cycles=24, lookahead=2)},
            "paper": {},
        }


@listed(
    "recipe",
    "random",
    summary="random search: train architectures drawn uniformly within the limits, retrain the best",
    source="Li & Talwalkar, UAI 2019, arXiv:1902.07638",
)
def random_search(
    config: RandomSearchConfig,
    task: Task,
    *,
    out: Path | str | None = None,
    runner: Runner | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Uniform over the feasible architectures, none twice, each trained from scratch.

    It is its own baseline: no second random search is run. Arguments and errors as for `regularized_evolution`.
    """
    return _run("random", config, task, _random, out=out, runner=runner, resume=resume, progress=progress)


@listed(
    "recipe",
    "grid",
    summary="grid search: train every architecture within the limits, in a fixed order, retrain the best",
)
def grid_search(
    config: GridSearchConfig,
    task: Task,
    *,
    out: Path | str | None = None,
    runner: Runner | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Every feasible architecture once, each trained from scratch.

    Where it tries all, the random baseline tries the same ones in other trainings: how far the two winners lie apart
    is the noise of choosing. Arguments and errors as for `regularized_evolution`.
    """
    return _run("grid", config, task, _grid, out=out, runner=runner, resume=resume, progress=progress)


@listed(
    "recipe",
    "regularized-evolution",
    summary="aging evolution: train mutants of good architectures while the oldest die, retrain the best",
    source="Real et al., AAAI 2019, arXiv:1802.01548",
)
def regularized_evolution(
    config: EvolutionSearchConfig,
    task: Task,
    *,
    out: Path | str | None = None,
    runner: Runner | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Regularized evolution (Real et al., arXiv:1802.01548), each candidate trained from scratch.

    Deviations: those of the strategy; trainings have neither path dropout nor an auxiliary head; candidates are
    trained at the final training's rates, as the paper's supplement with theirs was not at hand.

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
    return _run(
        "regularized-evolution", config, task, _evolution, out=out, runner=runner, resume=resume, progress=progress
    )


# ── what they share ───────────────────────────────────────────────────────────────────────────────

Make = Callable[[Any, Space, int], Strategy]


def _random(config: RandomSearchConfig, space: Space, seed: int) -> Strategy:
    return Random(space, n_trials=config.n_trials, seed=seed)


def _grid(config: GridSearchConfig, space: Space, seed: int) -> Strategy:
    return Grid(space, config.grid, seed=seed)


def _evolution(config: EvolutionSearchConfig, space: Space, seed: int) -> Strategy:
    return RegularizedEvolution(space, config.evolution, seed=seed)


def _run(
    recipe: str,
    config: TrialsConfig,
    task: Task,
    make: Make,
    *,
    out: Path | str | None,
    runner: Runner | None,
    resume: bool,
    progress: Progress | None,
) -> Result:
    opened = open_search(config, task)
    space, device = opened.space, opened.device
    make(config, space, 0)  # numbers that do not fit are refused before the folder is made
    with opened.begin(recipe, out=out, resume=resume, progress=progress) as run:
        if run.result is not None:
            return reopen(run, space)
        costs = with_tables(run, space, opened.objective, opened.costs, config.profile)
        strategy = make(config, space, derive_seed(run.seed, "search"))
        evaluator = FromScratch(space, task, config.training, device=device)
        found = run_search(run, opened, strategy, evaluator, costs, runner, total=_n_evaluations(opened, strategy))
        return finish(
            run,
            space,
            found,
            task,
            config.retrain,
            recipe=recipe,
            n_draws=config.n_draws,
            device=device,
            is_random=isinstance(strategy, Random),
        )


def _n_evaluations(opened: Opened, strategy: Strategy) -> int:
    """Trials to expect: no more than there are architectures, where none is tried twice."""
    may_repeat = isinstance(strategy, RegularizedEvolution)
    return strategy.n_trials if may_repeat else min(strategy.n_trials, opened.n_members())


def _workload(make: Make, config: TrialsConfig, task: Task) -> Workload:
    """What a run computes; its step is one of random architectures."""
    opened = open_search(config, task)
    strategy = make(config, opened.space, 0)
    batch_size = min(config.training.batch_size, MAX_MEASURED)
    n_steps = config.training.n_steps(task.split("train").n)
    n_retrain = config.retrain.n_steps(task.split("train+validation").n)
    n_trained, n_passed = n_steps * config.training.batch_size, task.split("validation").n
    n_evaluations = _n_evaluations(opened, strategy)
    if isinstance(strategy, Random):
        n_networks, n_searches, what = 1, 1, f"search, {n_evaluations:,} evaluations"
    else:
        n_networks, n_searches, what = 2, 2, f"search and baseline, {n_evaluations:,} evaluations each"
    n_networks += config.n_draws
    parts = {
        f"{what}, {n_steps:,} steps of {config.training.batch_size}": (
            Work(n_searches * n_evaluations * n_trained, n_searches * n_evaluations * n_passed)
        ),
        f"retraining, {n_networks} networks of {n_retrain:,} steps": (
            Work(n_networks * n_retrain * config.retrain.batch_size)
        ),
    }
    step = training_step(_networks(opened), task, opened.device, batch_size)
    return Workload(step, batch_size, N_MEASURED, parts, config.threads, opened.device, unmeasured_notes(opened))


def _networks(opened: Opened) -> Callable[[int], nn.Module]:
    """The i-th of some random architectures."""
    archs = opened.space.sample(N_MEASURED, np.random.default_rng(0))
    networks = [build_seeded(opened.space, arch, 0).to(opened.device) for arch in archs]
    for network in networks:
        use_layout(network, True)
    return lambda i: networks[i % N_MEASURED]


known_to_commands(random_search, RandomSearchConfig, partial(_workload, _random))
known_to_commands(grid_search, GridSearchConfig, partial(_workload, _grid))
known_to_commands(regularized_evolution, EvolutionSearchConfig, partial(_workload, _evolution))
