"""DARTS of first order (Liu et al., ICLR 2019, arXiv:1806.09055)."""

from __future__ import annotations

from dataclasses import dataclass, field

from archwright.finish import Found
from archwright.recipes.by_gradient import find_by_gradient
from archwright.recipes.darts import DartsConfig
from archwright.recipes.opened import OpenSearch
from archwright.recipes.recipe import recipe
from archwright.weight_sharing.by_gradient import AlphaConfig


@dataclass(frozen=True)
class DartsFirstOrderConfig(DartsConfig):
    """Numbers of a search by DARTS that does not look ahead.

    Attributes:
        alpha: Training of the arch parameters.
    """

    alpha: AlphaConfig = field(default_factory=AlphaConfig)


@recipe(
    "darts-first-order",
    DartsFirstOrderConfig,
    summary="every operation of a cell at once, weighed by a softmax that follows the validation loss",
    source="Liu et al., ICLR 2019, arXiv:1806.09055",
)
def darts_first_order(search: OpenSearch, config: DartsFirstOrderConfig) -> Found:
    """DARTS of first order (xi = 0). Deviations: as `darts`."""
    return find_by_gradient(search, config)
