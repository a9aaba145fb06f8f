"""NASNet's search of cells by PPO (Zoph et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.controlled import ControlledConfig, find_by_policy
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import nasnet_training
from archwright.recipes.recipe import recipe
from archwright.strategies.reinforce import ReinforceConfig
from archwright.training.config import TrainingConfig


@dataclass(frozen=True)
class NasNetConfig(ControlledConfig):
    """Numbers of a run; by default the paper's: 20,000 networks of 2 cells a stage, trained for 20 epochs.

    Attributes:
        space: Its own.
        training: Of each candidate.
        retrain: Of the winner and of what it is compared with.
        reinforce: The search.
    """

    space: str = "nasnet"
    training: TrainingConfig = field(default_factory=lambda: nasnet_training(20))
    retrain: TrainingConfig = field(default_factory=lambda: nasnet_training(600))
    reinforce: ReinforceConfig = field(default_factory=lambda: ReinforceConfig(n_trials=20_000, update="ppo"))

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        small = {"cells": 1, "channels": 8, "stem_channels": 16}
        return {
            "smoke": {
                "space_args": {**small, "channels": 4, "blocks": 2},
                "reinforce": ReinforceConfig(n_trials=4, update="ppo", children=2),
            },
            "quick": {
                "space_args": small,
                "reinforce": ReinforceConfig(n_trials=16, update="ppo", children=4, learning_rate=0.01),
            },
            "paper": {},
        }


@recipe(
    "nasnet",
    NasNetConfig,
    summary="an LSTM controller writes a normal and a reduction cell and learns by PPO; the cells are stacked",
    source="Zoph et al., CVPR 2018, arXiv:1707.07012",
)
def nasnet(search: OpenSearch, config: NasNetConfig) -> Found:
    """NASNet's search (Zoph et al., arXiv:1707.07012): controller of 100 units, PPO, batches of 20, 50 tokens.

    Cells that were found are built at another depth, width and size of images by `archwright train` (`--space-set`).
    Deviations: PPO's clipping (0.2) and steps a batch (10) are ours, as the paper states none; one winner is retrained,
    not the best of 250; trainings have neither path dropout nor an auxiliary head.
    """
    return find_by_policy(search, config, search.from_scratch(config.training))
