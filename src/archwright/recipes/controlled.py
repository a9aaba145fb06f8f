"""Settings of searches whose candidates a controller draws, each trained on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archwright.core.errors import InvalidValueError
from archwright.evaluators.base import Evaluator
from archwright.finish import Found
from archwright.recipes.opened import OpenSearch
from archwright.recipes.trials import TrialsConfig
from archwright.strategies.reinforce import Reinforce, ReinforceConfig

NAS_RL: dict[str, Any] = {"layers": 2, "hidden": 35, "spread": 0.08}
"""Of both controllers of NAS with RL (Zoph & Le, 2017, Sec. 4.1 and 4.2)."""


@dataclass(frozen=True)
class ControlledConfig(TrialsConfig):
    """Numbers of a search by policy gradients.

    Attributes:
        reinforce: The search.
    """

    reinforce: ReinforceConfig = field(default_factory=ReinforceConfig)


def find_by_policy(search: OpenSearch, config: ControlledConfig, evaluator: Evaluator) -> Found:
    """Search by a controller.

    Args:
        search: The search that was asked for.
        config: Its numbers.
        evaluator: Scores candidates.

    Raises:
        InvalidValueError: If the reward weighs a cost that trials do not have.
    """
    reward, known = config.reinforce.reward, [cost.name for cost in search.costs]
    # without a target it is that of a limit, or of the multiply-accumulates, and those every trial has
    if reward.weighs_a_cost and reward.target is not None and reward.cost not in known:
        raise InvalidValueError(
            f"the reward weighs {reward.cost}, which no trial has: they have {', '.join(known)}; name one of these, or "
            f"add --goal {reward.cost}"
        )
    return search.find(lambda seed: Reinforce(search.space, config.reinforce, seed=seed), evaluator)
