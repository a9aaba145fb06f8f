"""ENAS over whole networks with skip connections (Pham et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.finish import Found
from archwright.policies.anchors import AnchorController
from archwright.policies.controller import Controller
from archwright.recipes.enas import EnasConfig, find_by_controller
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import enas_training
from archwright.recipes.recipe import recipe
from archwright.spaces.base import Space
from archwright.training.config import TrainingConfig


@dataclass(frozen=True)
class EnasMacroConfig(EnasConfig):
    """Numbers of a macro search; by default those of the released script.

    Attributes:
        space: Its own.
        retrain: Of the winner and of what it is compared with.
    """

    space: str = "enas-macro"
    retrain: TrainingConfig = field(
        default_factory=lambda: enas_training(310, batch_size=100, penalty=2e-4, lowest=1e-3)
    )

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"layers": 6, "channels": 16}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        return {"layers": 3, "channels": 16}


@recipe(
    "enas-macro",
    EnasMacroConfig,
    summary="networks with skip connections: shared weights and an LSTM controller in turn, retrain the best draw",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
def enas_macro(search: OpenSearch, config: EnasMacroConfig) -> Found:
    """ENAS in its macro space (Pham et al., arXiv:1802.03268; numbers of melodyguan/enas).

    Deviations: draws are scored on the whole validation part, with recalibrated batch norms, not on one batch; the
    divergence of skip connections is that of the probability they are drawn by.
    """

    def controller(space: Space, seed: int) -> Controller:
        return AnchorController(space, hidden=64, tanh_constant=1.5, link="softmax", seed=seed)

    return find_by_controller(search, config, controller)
