"""DARTS: differentiable architecture search (Liu et al., ICLR 2019, arXiv:1806.09055)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.by_gradient import GradientConfig, find_by_gradient, plain_sgd
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import darts_training
from archwright.recipes.recipe import recipe
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.by_gradient import AlphaConfig


@dataclass(frozen=True)
class DartsConfig(GradientConfig):
    """Numbers of a search by DARTS; by default those of the released code.

    Attributes:
        space: Its own.
        space_args: Auxiliary head and drop path of the final training.
        supernet: Training of the shared weights.
        alpha: Training of the arch parameters beside them.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "darts"
    space_args: Mapping[str, Any] = field(default_factory=lambda: {"auxiliary": 0.4, "drop_path": 0.2})
    supernet: TrainingConfig = field(default_factory=plain_sgd)
    alpha: AlphaConfig = field(default_factory=lambda: AlphaConfig(order="second"))
    retrain: TrainingConfig = field(default_factory=darts_training)

    quick_steps, quick_batch, quick_retrain = 200, 16, 500

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"channels": 8, "cells": 3}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return {"channels": 4, "cells": 3, "nodes": 2}


@recipe(
    "darts",
    DartsConfig,
    summary="every operation of a cell at once, weighed by a softmax that follows the validation loss one step ahead",
    source="Liu et al., ICLR 2019, arXiv:1806.09055",
)
def darts(search: OpenSearch, config: DartsConfig) -> Found:
    """DARTS of second order (Liu et al., arXiv:1806.09055; numbers of quark0/darts).

    Deviation: no cutout in the final training.
    """
    return find_by_gradient(search, config)
