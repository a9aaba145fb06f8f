"""DARTS over recurrent cells, on texts (Liu et al., ICLR 2019, arXiv:1806.09055)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from archwright.finish import Found
from archwright.recipes.by_gradient import GradientConfig, find_by_gradient
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import darts_language_search, darts_language_training
from archwright.recipes.recipe import recipe
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.by_gradient import DARTS_ADAM, AlphaConfig


@dataclass(frozen=True)
class DartsRnnConfig(GradientConfig):
    """Numbers of a search of recurrent cells; by default those of the released code.

    Attributes:
        space: Its own.
        space_args: Its settings.
        supernet: Training of the shared weights.
        alpha: Training of the arch parameters; they learn from the validation part.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "darts-rnn"
    space_args: Mapping[str, Any] = field(default_factory=dict)
    supernet: TrainingConfig = field(default_factory=darts_language_search)
    alpha: AlphaConfig = field(
        default_factory=lambda: AlphaConfig(
            optimizer=replace(DARTS_ADAM, learning_rate=3e-3, betas=(0.9, 0.999)), order="first", share=0.0
        )
    )
    retrain: TrainingConfig = field(default_factory=darts_language_training)

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"hidden": 48, "nodes": 4}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return {"hidden": 8, "nodes": 2}


@recipe(
    "darts-rnn",
    DartsRnnConfig,
    summary="every activation and source of a recurrent cell at once, weighed by a softmax, on texts",
    source="Liu et al., ICLR 2019, arXiv:1806.09055",
)
def darts_rnn(search: OpenSearch, config: DartsRnnConfig) -> Found:
    """DARTS on texts (Liu et al., arXiv:1806.09055; numbers of quark0/darts, rnn/).

    Deviations: the weights' windows all have the length that the data say; `alpha.order=second` looks ahead, as the
    released command does, where the weights are trained by SGD.
    """
    return find_by_gradient(search, config)
