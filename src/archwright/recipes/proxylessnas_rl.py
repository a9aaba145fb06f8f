"""ProxylessNAS with REINFORCE on its gates (Cai et al., ICLR 2019, arXiv:1812.00332, Sec. 3.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.by_policy_gradient import PathControllerConfig, find_by_policy_gradient
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import proxyless_training
from archwright.recipes.proxylessnas import ADAM, SMALL, TINY
from archwright.recipes.recipe import recipe
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.controlled_path import ControllerConfig


@dataclass(frozen=True)
class ProxylessNasRlConfig(PathControllerConfig):
    """Numbers of a search by ProxylessNAS with REINFORCE; by default those of the released code.

    Attributes:
        space: Its own.
        supernet: Training of the shared weights, one path a step.
        controller: Training of α: an update in every fifth step, of 10 networks; the baseline is almost the last mean.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "proxylessnas"
    supernet: TrainingConfig = field(default_factory=lambda: proxyless_training(160))
    controller: ControllerConfig = field(
        default_factory=lambda: ControllerConfig(
            ADAM, every=5, steps=1, children=10, entropy=0.0, baseline_decay=0.01, skip_weight=0.0
        )
    )
    retrain: TrainingConfig = field(default_factory=lambda: proxyless_training(300))

    @classmethod
    def small(cls) -> dict[str, Any]:
        return SMALL

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return TINY


@recipe(
    "proxylessnas-rl",
    ProxylessNasRlConfig,
    summary="one path of a chain of blocks a step; arch parameters by REINFORCE, the reward falls with the cost",
    source="Cai et al., ICLR 2019, arXiv:1812.00332",
)
def proxylessnas_rl(search: OpenSearch, config: ProxylessNasRlConfig) -> Found:
    """ProxylessNAS by REINFORCE (Cai et al., arXiv:1812.00332): reward accuracy x (limit / cost)^0.1.

    Deviations: α's rewards are those of a batch of the validation part; α moves from the first step on.
    """
    return find_by_policy_gradient(search, config)
