"""ProxylessNAS with gradients through binary gates (Cai et al., ICLR 2019, arXiv:1812.00332)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.recipes.by_gradient import GradientConfig, MixingConfig, find_by_gradient
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import proxyless_training
from archwright.recipes.recipe import recipe
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.weight_sharing.by_gradient import AlphaConfig
from archwright.weight_sharing.pressure import PressureConfig

ADAM = OptimizerConfig(optimizer="adam", learning_rate=1e-3, betas=(0.0, 0.999), schedule="constant")
SMALL = {"widths": [16, 8, 16, 16, 24, 32, 32, 48, 96], "blocks": [2, 2, 2, 1, 1, 1]}
TINY = {"widths": [8, 8, 8, 8, 8, 8, 8, 8, 16], "blocks": [2, 1, 1, 1, 1, 1]}


@dataclass(frozen=True)
class ProxylessNasConfig(GradientConfig):
    """Numbers of a search by ProxylessNAS; by default those of the released code.

    Attributes:
        space: Its own.
        supernet: Training of the shared weights, one path a step: 40 epochs of warm-up and 120 of search.
        alpha: Training of the arch parameters, in every fifth step; 0.04 of the training part is kept for it.
        mixing: Two gates a decision.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "proxylessnas"
    supernet: TrainingConfig = field(default_factory=lambda: proxyless_training(160))
    alpha: AlphaConfig = field(
        default_factory=lambda: AlphaConfig(
            optimizer=ADAM,
            every=5,
            warmup=0.25,
            share=0.04,
            paths="path",
            pressure=PressureConfig("relative", weight=0.1),
        )
    )
    mixing: MixingConfig = field(default_factory=lambda: MixingConfig("gates"))
    retrain: TrainingConfig = field(default_factory=lambda: proxyless_training(300))

    @classmethod
    def small(cls) -> dict[str, Any]:
        return SMALL

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return TINY


@recipe(
    "proxylessnas",
    ProxylessNasConfig,
    summary="one path of a chain of blocks a step; arch parameters by the gradients of two gates, cost in the loss",
    source="Cai et al., ICLR 2019, arXiv:1812.00332",
)
def proxylessnas(search: OpenSearch, config: ProxylessNasConfig) -> Found:
    """ProxylessNAS by gradients (Cai et al., arXiv:1812.00332; numbers of mit-han-lab/proxylessnas).

    Deviations: the expected cost is exact, not that of the two sampled paths; the warm-up and the search are one
    training with one cosine; the loss is `add#linear` with a limit or `alpha.pressure.reference` as its reference.
    """
    return find_by_gradient(search, config)
