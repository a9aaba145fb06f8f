"""Neural Architecture Search with Reinforcement Learning (Zoph & Le, ICLR 2017): convolutional and recurrent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.controlled import ControlledConfig, find_by_policy
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import darts_language_training
from archwright.recipes.recipe import recipe
from archwright.strategies.reinforce import ReinforceConfig
from archwright.strategies.rewards import RewardConfig
from archwright.training.config import TrainingConfig

PAPER: dict[str, Any] = {"layers": 2, "hidden": 35, "spread": 0.08, "shards": 20}
"""Of both controllers (Sec. 4.1 and 4.2)."""

CUBED = RewardConfig("cubed")
PERPLEXITY = RewardConfig("inverse-square", scale=80.0)


def nesterov_training(epochs: int) -> TrainingConfig:
    """Of the paper's convolutional children: Nesterov's momentum at rate 0.1; the decay is DenseNet's, from memory."""
    return TrainingConfig(
        epochs=epochs,
        batch_size=128,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="constant",
    )


@dataclass(frozen=True)
class NasRlConfig(ControlledConfig):
    """Numbers of a run on images; by default the paper's.

    Attributes:
        best_of: A candidate's score is the best after each of so many last epochs.
    """

    space: str = "nas-rl"
    training: TrainingConfig = field(default_factory=lambda: nesterov_training(50))
    retrain: TrainingConfig = field(default_factory=lambda: nesterov_training(300))
    best_of: int = 5
    reinforce: ReinforceConfig = field(
        default_factory=lambda: ReinforceConfig(
            **PAPER, n_trials=12_800, policy="anchors", learning_rate=6e-4, children=8, replicas=100, reward=CUBED
        )
    )

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        small = {"layers": 4, "strides": True, "filters": [8, 12, 16, 24]}
        few: dict[str, Any] = {"policy": "anchors", "layers": 2, "hidden": 35, "spread": 0.08, "reward": CUBED}
        return {
            "smoke": {
                "space_args": small,
                "best_of": 1,
                "reinforce": ReinforceConfig(n_trials=4, children=2, **few),
            },
            "quick": {
                "space_args": {**small, "layers": 6},
                "best_of": 1,
                "reinforce": ReinforceConfig(n_trials=24, children=4, learning_rate=0.02, **few),
            },
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


@dataclass(frozen=True)
class NasRlRnnConfig(ControlledConfig):
    """Numbers of a run on texts; by default the paper's."""

    space: str = "nas-rl-rnn"
    training: TrainingConfig = field(default_factory=lambda: darts_language_training(35))
    retrain: TrainingConfig = field(default_factory=lambda: darts_language_training(150))
    reinforce: ReinforceConfig = field(
        default_factory=lambda: ReinforceConfig(
            **PAPER,
            n_trials=15_000,
            learning_rate=5e-4,
            children=1,
            replicas=400,
            accumulate=10,
            reward=PERPLEXITY,
        )
    )

    @classmethod
    def lengths(cls) -> dict[str, dict[str, Any]]:
        few: dict[str, Any] = {"layers": 2, "hidden": 35, "spread": 0.08, "reward": PERPLEXITY}
        small = {"hidden": 64, "layers": 1}
        return {
            "smoke": {
                "space_args": {**small, "hidden": 8},
                "reinforce": ReinforceConfig(n_trials=4, children=2, **few),
            },
            "quick": {
                "space_args": small,
                "reinforce": ReinforceConfig(n_trials=12, children=3, learning_rate=0.02, **few),
            },
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
