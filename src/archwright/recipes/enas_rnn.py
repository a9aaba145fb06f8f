"""ENAS over recurrent cells, on texts (Pham et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.policies.controller import Controller
from archwright.recipes.enas import EnasConfig, find_by_controller
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import enas_language_training
from archwright.recipes.recipe import recipe
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.weight_sharing.controlled_path import ControllerConfig


@dataclass(frozen=True)
class EnasRnnConfig(EnasConfig):
    """Numbers of a recurrent search; by default the paper's, as others have read them.

    Attributes:
        space: Its own.
        supernet: Training of the shared weights.
        controller: Training of the controller, in turn with them.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "enas-rnn"
    supernet: TrainingConfig = field(default_factory=enas_language_training)
    controller: ControllerConfig = field(
        default_factory=lambda: ControllerConfig(
            optimizer=OptimizerConfig(optimizer="adam", learning_rate=3.5e-4, schedule="constant"),
            every=400,
            steps=2_000,
            children=1,
            baseline_decay=0.95,
            skip_weight=0.0,
        )
    )
    retrain: TrainingConfig = field(default_factory=enas_language_training)

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"hidden": 64, "nodes": 5}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return {"hidden": 8, "nodes": 3}


@recipe(
    "enas-rnn",
    EnasRnnConfig,
    summary="recurrent cells on texts: shared weights and an LSTM controller in turn, retrain the best draw",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
def enas_rnn(search: OpenSearch, config: EnasRnnConfig) -> Found:
    """ENAS on texts (Pham et al., arXiv:1802.03268): the reward is 80 / perplexity of a validation batch.

    Deviations: draws are scored on the whole validation part.
    """
    return find_by_controller(
        search,
        config,
        lambda space, seed: Controller(space, hidden=100, temperature=5.0, tanh_constant=2.5, seed=seed),
    )
