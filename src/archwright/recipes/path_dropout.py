"""One-shot search with path dropout (Bender et al., ICML 2018, PMLR 80:550-559)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError
from archwright.costs.profiling.profile import ProfileConfig
from archwright.evaluators.supernet import CalibrationConfig
from archwright.finish import Found
from archwright.policies.path_dropout import PathDropout
from archwright.recipes.augmenting import as_published
from archwright.recipes.base import SearchConfig
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import LOW_RATE, QUICK_STEPS, long, nesterov_training, suited, usual_training
from archwright.recipes.recipe import recipe
from archwright.strategies.random import Random
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.dropped_paths import DroppedPaths


@dataclass(frozen=True)
class PathDropoutConfig(SearchConfig):
    """Numbers of a run; the paper's are known from memory and summaries only.

    Attributes:
        space: Its own.
        supernet: Training of the one-shot model.
        rate: How often a node is without any path at the end of it.
        ghost: Examples that share dropped paths and batch-norm statistics; None is the whole batch.
        n_trials: Random architectures that are scored by the one-shot model.
        calibration: Images that set batch-norm statistics of each of them.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "one-shot"
    supernet: TrainingConfig = field(default_factory=lambda: replace(nesterov_training(100), batch_size=1024))
    rate: float = 0.05
    ghost: int | None = 32
    n_trials: int = 5_000
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    retrain: TrainingConfig = field(default_factory=lambda: nesterov_training(300))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_trials", self.n_trials, 1, 100_000_000)
        if not 0 <= self.rate < 1:
            raise InvalidValueError(f"rate is {self.rate}; give a number in [0, 1)")
        DroppedPaths(self.supernet, self.ghost)

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        if name == "paper":
            return as_published(cls(), input_shape)
        if name == "long":
            return long(cls.preset("quick", input_shape))
        if name == "smoke":
            smoke = cls(
                space_args={"cells": 3, "channels": 4, "blocks": 1},
                supernet=usual_training(steps=6, batch_size=16, rate=LOW_RATE),
                ghost=8,
                n_trials=4,
                calibration=CalibrationConfig(batches=1, batch_size=64),
                retrain=usual_training(steps=8, batch_size=32, rate=LOW_RATE),
                n_draws=1,
                profile=ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1),
                int8=False,
            )
            return suited(smoke, input_shape)
        if name == "quick":
            quick = cls(
                space_args={"cells": 3, "channels": 8, "blocks": 3},
                supernet=usual_training(steps=500, batch_size=64, rate=LOW_RATE),
                n_trials=40,
                calibration=CalibrationConfig(batches=2, batch_size=256),
                retrain=usual_training(steps=QUICK_STEPS, batch_size=64, rate=LOW_RATE),
                n_draws=3,
            )
            return suited(quick, input_shape)
        raise InvalidValueError(f"unknown preset {name!r}; choose smoke or quick or long or paper")


@recipe(
    "path-dropout",
    PathDropoutConfig,
    summary="a one-shot model of all paths, some of them dropped in training; random architectures scored by it",
    source="Bender et al., ICML 2018, PMLR 80:550-559",
)
def path_dropout(search: OpenSearch, config: PathDropoutConfig) -> Found:
    """One-shot search with path dropout (Bender et al., ICML 2018).

    Deviations: the best architecture alone is retrained, not the best ten; the paper's text was not available.
    """
    shared = search.supernet()
    sharing = DroppedPaths(config.supernet, config.ghost)
    search.train("supernet", sharing, shared, lambda: PathDropout(search.space, config.rate))
    return search.find(
        lambda seed: Random(search.space, n_trials=config.n_trials, seed=seed),
        search.by_shared(shared, config.calibration),
    )
