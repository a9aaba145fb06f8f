"""Neural Architecture Search with Reinforcement Learning on texts (Zoph & Le, ICLR 2017)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.controlled import NAS_RL, ControlledConfig, find_by_policy
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import darts_language_training
from archwright.recipes.recipe import recipe
from archwright.strategies.reinforce import ReinforceConfig
from archwright.strategies.rewards import RewardConfig
from archwright.training.config import TrainingConfig

REWARD = RewardConfig("inverse-square", scale=80.0)


@dataclass(frozen=True)
class NasRlRnnConfig(ControlledConfig):
    """Numbers of a run; by default the paper's.

    Attributes:
        space: Its own.
        training: Of each candidate.
        retrain: Of the winner and of what it is compared with.
        reinforce: The search.
    """

    space: str = "nas-rl-rnn"
    training: TrainingConfig = field(default_factory=lambda: darts_language_training(35))
    retrain: TrainingConfig = field(default_factory=lambda: darts_language_training(150))
    reinforce: ReinforceConfig = field(
        default_factory=lambda: ReinforceConfig(
            **NAS_RL,
            shards=20,
            n_trials=15_000,
            learning_rate=5e-4,
            children=1,
            replicas=400,
            accumulate=10,
            reward=REWARD,
        )
    )

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        smoke = ReinforceConfig(n_trials=4, children=2, reward=REWARD, **NAS_RL)
        quick = ReinforceConfig(n_trials=12, children=3, learning_rate=0.02, reward=REWARD, **NAS_RL)
        return {
            "smoke": {"space_args": {"hidden": 8, "layers": 1}, "reinforce": smoke},
            "quick": {"space_args": {"hidden": 64, "layers": 1}, "reinforce": quick},
            "paper": {},
        }


@recipe(
    "nas-rl-rnn",
    NasRlRnnConfig,
    summary="an LSTM controller writes recurrent cells as trees and learns from their perplexity",
    source="Zoph & Le, ICLR 2017, arXiv:1611.01578",
)
def nas_rl_rnn(search: OpenSearch, config: NasRlRnnConfig) -> Found:
    """NAS with RL on texts (Zoph & Le, arXiv:1611.01578): the reward is 80 / perplexity squared.

    Deviations: children are trained by DARTS's recurrent training, as the paper's is not stated whole, and the winner
    has one size. Replicas are simulated, see `strategies.reinforce`.
    """
    return find_by_policy(search, config, search.from_scratch(config.training))
