"""ENAS over two cells (Pham et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from archwright.finish import Found
from archwright.policies.controller import Controller
from archwright.recipes.enas import EnasConfig, find_by_controller
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import enas_training
from archwright.recipes.recipe import recipe
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.controlled_path import ADAM, ControllerConfig


@dataclass(frozen=True)
class EnasMicroConfig(EnasConfig):
    """Numbers of a micro search; by default those of the released script.

    Attributes:
        space: Its own.
        supernet: Training of the shared weights.
        controller: Training of the controller, in turn with them.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "enas-micro"
    supernet: TrainingConfig = field(
        default_factory=lambda: enas_training(150, batch_size=160, penalty=1e-4, lowest=5e-4)
    )
    controller: ControllerConfig = field(
        default_factory=lambda: ControllerConfig(
            optimizer=replace(ADAM, learning_rate=3.5e-3), steps=30, children=10, skip_weight=0.0
        )
    )
    retrain: TrainingConfig = field(
        default_factory=lambda: enas_training(630, batch_size=144, penalty=2e-4, lowest=1e-4)
    )

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"cells": 3, "channels": 12}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return {"cells": 3, "channels": 8, "blocks": 1}


@recipe(
    "enas-micro",
    EnasMicroConfig,
    summary="two cells: shared weights and an LSTM controller in turn, retrain the best draw",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
def enas_micro(search: OpenSearch, config: EnasMicroConfig) -> Found:
    """ENAS in its micro space (Pham et al., arXiv:1802.03268; numbers of melodyguan/enas).

    Deviations: as `enas_macro`; logits of inputs and of operations have one bound (1.10), and operations no bias at the
    start; the controller reads decisions in the order of the code, input and operation of one side after the other.
    """
    return find_by_controller(
        search, config, lambda space, seed: Controller(space, hidden=64, tanh_constant=1.1, seed=seed)
    )
