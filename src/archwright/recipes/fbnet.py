"""FBNet: differentiable search with latency in the loss (Wu et al., CVPR 2019, arXiv:1812.03443)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.policies.relaxed import Temperature
from archwright.recipes.by_gradient import Derive, GradientConfig, MixingConfig, find_by_gradient
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import fbnet_training
from archwright.recipes.recipe import recipe
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.weight_sharing.by_gradient import AlphaConfig
from archwright.weight_sharing.pressure import PressureConfig

ALPHA = AlphaConfig(
    optimizer=OptimizerConfig(
        optimizer="adam", learning_rate=0.01, weight_decay=5e-4, decay_norm_and_bias=True, schedule="constant"
    ),
    every=None,
    warmup=1 / 9,
    share=0.2,
    pressure=PressureConfig("log-power", weight=0.2, exponent=0.6, sampled=True),
)


@dataclass(frozen=True)
class FBNetConfig(GradientConfig):
    """Numbers of a search by FBNet; by default the paper's, as two re-implementations give them.

    Attributes:
        space: Its own.
        supernet: Training of the shared weights.
        alpha: Training of the arch parameters: passes over their 20 % of the data, in turn with the weights.
        mixing: Gumbel-softmax weights whose temperature falls from 5 by a factor of exp(-0.045) an epoch.
        derive: Draws are trained from scratch, and the best is kept.
        candidate: Training of each of them.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "fbnet"
    supernet: TrainingConfig = field(default_factory=lambda: fbnet_training(90, batch_size=192))
    alpha: AlphaConfig = ALPHA
    mixing: MixingConfig = field(
        default_factory=lambda: MixingConfig("gumbel", spread=0.0, temperature=Temperature(5.0, 0.0871, "exponential"))
    )
    derive: Derive = "trained"
    candidate: TrainingConfig = field(default_factory=lambda: fbnet_training(360, batch_size=256))
    retrain: TrainingConfig = field(default_factory=lambda: fbnet_training(360, batch_size=256))

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"widths": [8, 8, 16, 16, 24, 32, 32, 48, 96], "layers": [1, 1, 2, 2, 1, 1, 1]}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return {"widths": [8, 8, 8, 8, 8, 8, 8, 8, 16], "layers": [1, 1, 1, 1, 1, 1, 1]}


@recipe(
    "fbnet",
    FBNetConfig,
    summary="blocks of a chain at Gumbel-softmax weights, with a looked-up latency in the loss; the best of some draws",
    source="Wu et al., CVPR 2019, arXiv:1812.03443",
)
def fbnet(search: OpenSearch, config: FBNetConfig) -> Found:
    """FBNet (Wu et al., arXiv:1812.03443).

    The cost in the loss is that of a limit, or `alpha.pressure.cost`, or the multiply-accumulates. Deviations: α
    begins at 0, which the paper does not say; all classes are searched on, not 100 of them.
    """
    return find_by_gradient(search, config)
