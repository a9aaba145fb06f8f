"""Settings of searches that train each candidate on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from archwright.core.errors import InvalidValueError
from archwright.costs.profiling.profile import ProfileConfig
from archwright.recipes.augmenting import as_published
from archwright.recipes.base import SearchConfig
from archwright.recipes.presets import LOW_RATE, QUICK_STEPS, amoeba_training, long, suited, usual_training
from archwright.training.config import TrainingConfig


@dataclass(frozen=True)
class TrialsConfig(SearchConfig):
    """Settings of a search that trains each candidate; by default the lengths of Real et al. (AAAI 2019).

    Attributes:
        training: Of each candidate, on the training part; it is scored on the validation part.
        retrain: Training of the winner and of what it is compared with, on both parts together.
    """

    training: TrainingConfig = field(default_factory=lambda: amoeba_training(25))
    retrain: TrainingConfig = field(default_factory=lambda: amoeba_training(600))

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        presets = cls.lengths()
        if name == "long":
            return long(cls.preset("quick", input_shape))
        if name not in presets:
            known = [*list(presets)[:2], "long", *list(presets)[2:]]
            raise InvalidValueError(f"unknown preset {name!r}; choose {' or '.join(known)}")
        if name == "smoke":
            profile = ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1)
            short = usual_training(steps=8, batch_size=32, rate=LOW_RATE)
            smoke = cls(training=short, retrain=short, n_draws=1, profile=profile, int8=False, **presets[name])
            return suited(smoke, input_shape)
        if name == "quick":
            training, retrain = (usual_training(steps=n, batch_size=64, rate=LOW_RATE) for n in (200, QUICK_STEPS))
            return suited(cls(training=training, retrain=retrain, n_draws=3, **presets[name]), input_shape)
        return as_published(cls(**presets[name]), input_shape)

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        """How much each preset tries: settings by the preset's name."""
        raise InvalidValueError(f"{cls.__name__} has no presets")
