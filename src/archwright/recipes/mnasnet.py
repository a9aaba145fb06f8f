"""MnasNet: a controller whose reward weighs accuracy against latency (Tan et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.controlled import ControlledConfig, find_by_policy
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import rmsprop_training
from archwright.recipes.recipe import recipe
from archwright.strategies.reinforce import ReinforceConfig
from archwright.strategies.rewards import RewardConfig
from archwright.training.config import TrainingConfig

SOFT = RewardConfig("soft")


@dataclass(frozen=True)
class MnasNetConfig(ControlledConfig):
    """Numbers of a run; by default the paper's: 8,000 networks trained for 5 epochs, the soft reward.

    Attributes:
        space: Its own.
        training: Of each candidate.
        retrain: Of the winner and of what it is compared with.
        reinforce: The search.
    """

    space: str = "mnasnet"
    training: TrainingConfig = field(default_factory=lambda: rmsprop_training(5))
    retrain: TrainingConfig = field(default_factory=lambda: rmsprop_training(350))
    reinforce: ReinforceConfig = field(
        default_factory=lambda: ReinforceConfig(n_trials=8_000, update="ppo", reward=SOFT)
    )

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        return {
            "smoke": {
                "space_args": {"width": 0.25},
                "reinforce": ReinforceConfig(n_trials=4, update="ppo", children=2, reward=SOFT),
            },
            "quick": {
                "space_args": {"width": 0.5},
                "reinforce": ReinforceConfig(n_trials=16, update="ppo", children=4, learning_rate=0.01, reward=SOFT),
            },
            "paper": {},
        }


@recipe(
    "mnasnet",
    MnasNetConfig,
    summary="a controller learns by PPO from accuracy x (latency / target)^w, over blocks of mobile layers",
    source="Tan et al., CVPR 2019, arXiv:1807.11626",
)
def mnasnet(search: OpenSearch, config: MnasNetConfig) -> Found:
    """MnasNet's search (Tan et al., arXiv:1807.11626): NASNet's controller, the soft reward by default.

    The target is `reinforce.reward.target`, or the limit on the reward's cost, the latency; where another cost is
    limited, it is that one, and without any limit the multiply-accumulates of random architectures on average.
    Deviations: nothing over a limit is tried; PPO's clipping and steps a batch are ours; one winner is retrained, not
    15; the rate follows a cosine.
    """
    return find_by_policy(search, config, search.from_scratch(config.training))
