"""Neural Architecture Search with Reinforcement Learning on images (Zoph & Le, ICLR 2017)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.controlled import NAS_RL, ControlledConfig, find_by_policy
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import nesterov_training
from archwright.recipes.recipe import recipe
from archwright.strategies.reinforce import ReinforceConfig
from archwright.strategies.rewards import RewardConfig
from archwright.training.config import TrainingConfig

CUBED = RewardConfig("cubed")
SMALL = {"strides": True, "filters": [8, 12, 16, 24]}


@dataclass(frozen=True)
class NasRlConfig(ControlledConfig):
    """Numbers of a run; by default the paper's.

    Attributes:
        space: Its own.
        training: Of each candidate.
        retrain: Of the winner and of what it is compared with.
        reinforce: The search.
        best_of: A candidate's score is the best after each of so many last epochs.
    """

    space: str = "nas-rl"
    training: TrainingConfig = field(default_factory=lambda: nesterov_training(50))
    retrain: TrainingConfig = field(default_factory=lambda: nesterov_training(300))
    best_of: int = 5
    reinforce: ReinforceConfig = field(
        default_factory=lambda: ReinforceConfig(
            **NAS_RL,
            shards=20,
            n_trials=12_800,
            policy="anchors",
            learning_rate=6e-4,
            children=8,
            replicas=100,
            reward=CUBED,
        )
    )

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        few: dict[str, Any] = {**NAS_RL, "policy": "anchors", "reward": CUBED}
        quick = ReinforceConfig(n_trials=24, children=4, learning_rate=0.02, **few)
        smoke = ReinforceConfig(n_trials=4, children=2, **few)
        return {
            "smoke": {"space_args": {**SMALL, "layers": 3}, "best_of": 1, "reinforce": smoke},
            "quick": {"space_args": {**SMALL, "layers": 6}, "best_of": 1, "reinforce": quick},
            "paper": {},
        }


@recipe(
    "nas-rl",
    NasRlConfig,
    summary="an LSTM controller with attention for skip connections learns from networks trained to their end",
    source="Zoph & Le, ICLR 2017, arXiv:1611.01578",
)
def nas_rl(search: OpenSearch, config: NasRlConfig) -> Found:
    """NAS with RL on images (Zoph & Le, arXiv:1611.01578).

    Deviations: the depth is fixed (the paper's grows from 6 by 2 every 1,600 networks), and the winner is retrained
    with one rate and one decay, not the best of a grid. Replicas are simulated, see `strategies.reinforce`.
    """
    return find_by_policy(search, config, search.from_scratch(config.training, best_of=config.best_of))
