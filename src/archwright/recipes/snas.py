"""SNAS: stochastic neural architecture search (Xie et al., ICLR 2019, arXiv:1812.09926)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from archwright.core.errors import UnknownNameError
from archwright.finish import Found
from archwright.policies.relaxed import Temperature
from archwright.recipes.by_gradient import MixingConfig, find_by_gradient, plain_sgd
from archwright.recipes.darts import DartsConfig
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.spaces.darts.convolutional import DartsCells
from archwright.spaces.darts.op_costs import Resource, check_resource, resource_measure
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.by_gradient import AlphaConfig
from archwright.weight_sharing.pressure import Measured, PressureConfig

Level = Literal["none", "mild", "moderate", "aggressive"]

ETAS: dict[Level, float] = {"none": 0.0, "mild": 1.5e-3, "moderate": 5e-3, "aggressive": 1.5e-2}
"""Weights of the cost by the paper's names, which gives none; that of "mild" is the released command's."""

RAW = 150.0
"""How much smaller they are without logarithms: 1e-5 for 1.5e-3, the released code's defaults."""


@dataclass(frozen=True)
class SnasConfig(DartsConfig):
    """Numbers of a search by SNAS; by default those of the released code.

    Attributes:
        space: Its own.
        supernet: Training of the shared weights.
        alpha: Training of the arch parameters, on the same batches.
        mixing: Samples of the concrete distribution.
        constraint: How much the cost presses: "none", "mild", "moderate" or "aggressive", by our own weights.
        resource: What presses: "params", "flops", "memory" or "mixed"; see `spaces.darts.op_costs`.
        is_log: Whether the cost enters by logarithms.
    """

    space: str = "snas"
    supernet: TrainingConfig = field(default_factory=lambda: plain_sgd(150))
    alpha: AlphaConfig = field(default_factory=lambda: AlphaConfig(level="single"))
    mixing: MixingConfig = field(default_factory=lambda: MixingConfig("gumbel", temperature=Temperature(1.0, 0.03)))
    constraint: Level = "mild"
    resource: Resource = "mixed"
    is_log: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.constraint not in ETAS:
            raise UnknownNameError("constraint", self.constraint, tuple(ETAS))
        check_resource(self.resource)


@recipe(
    "snas",
    SnasConfig,
    summary="sampled mixtures of a cell's operations at a falling temperature; one loss for weights, α and cost",
    source="Xie et al., ICLR 2019, arXiv:1812.09926",
)
def snas(search: OpenSearch, config: SnasConfig) -> Found:
    """SNAS (Xie et al., arXiv:1812.09926; numbers of SNAS-Series/SNAS-Series).

    Deviations: α begins near 0 and not near 1, which is the same distribution; no drop path in the search.
    """
    space, eta = search.space.search_form(), ETAS[config.constraint] / (1 if config.is_log else RAW)
    if not eta or not isinstance(space, DartsCells):
        return find_by_gradient(search, config)
    measure = resource_measure(space, config.resource, is_log=config.is_log)
    config = replace(config, alpha=replace(config.alpha, pressure=PressureConfig("added", weight=eta, sampled=True)))
    return find_by_gradient(search, config, [Measured(f"snas_{config.resource}", measure)])
