"""What a controller is told of a trial: one number, larger is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from archwright.core.errors import InvalidValueError, RunError, UnknownNameError
from archwright.core.objective import Objective
from archwright.core.trial import Trial
from archwright.costs.counted import Macs
from archwright.spaces.base import Space

Form = Literal["score", "cubed", "inverse-square", "soft", "hard"]

N_DRAWN = 1000
"""Random architectures whose mean is a target where none is given."""

SOFT, HARD = (-0.07, -0.07), (0.0, -1.0)
"""Exponents of MnasNet's two rewards: of a cost within the target, and of one beyond it (Tan et al., 2019)."""


@dataclass(frozen=True)
class RewardConfig:
    """How a trial becomes a reward.

    Attributes:
        form: "score" is the metric, negated where smaller is better. "cubed" is its third power, as in NAS with RL on
            images; "inverse-square" is `scale` / metric**2, as there on texts (Zoph & Le, 2017). "soft" and "hard" are
            MnasNet's: metric x (cost / target)**w, where w is -0.07, or 0 within the target and -1 beyond it.
        scale: Of "inverse-square"; the paper's is about 80.
        cost: Of "soft" and "hard": which cost is weighed.
        target: Its target in its own unit; none takes the limit on it, see `settled`.
    """

    form: Form = "score"
    scale: float = 80.0
    cost: str = "latency_ms"
    target: float | None = None

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise UnknownNameError("form of a reward", self.form, get_args(Form))
        if not self.cost:
            raise InvalidValueError("reward.cost is empty; give the name of a cost, like latency_ms")
        for name, value in (("scale", self.scale), ("target", self.target)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidValueError(f"reward.{name} is {value}; give a positive number")

    @property
    def weighs_a_cost(self) -> bool:
        """Whether a cost enters."""
        return self.form in ("soft", "hard")


def settled(config: RewardConfig, objective: Objective, space: Space) -> RewardConfig:
    """A reward that has its target: the one given, or else the limit on its cost.

    Without either it weighs the first cost that is limited, and without any limit the multiply-accumulates against the
    mean of random architectures.

    Args:
        config: As the settings give it.
        objective: Has the limits.
        space: Where architectures come from.
    """
    limits = {one.cost: one.limit for one in objective.constraints}
    if not config.weighs_a_cost or config.target is not None:
        return config
    if config.cost in limits:
        return replace(config, target=limits[config.cost])
    if limits:
        cost, target = next(iter(limits.items()))
        return replace(config, cost=cost, target=target)
    rows = space.decisions.sample(N_DRAWN, np.random.default_rng(0))
    return replace(config, cost="macs", target=float(Macs().cost_rows(space, rows).mean()))


def reward_of(config: RewardConfig, objective: Objective) -> Callable[[Trial], float]:
    """A function that gives the reward of a complete trial.

    Args:
        config: Its form.
        objective: Names the metric.

    Raises:
        InvalidValueError: If a target is needed and not given, see `settled`.
    """
    goal = objective.goals[0]
    sign = 1.0 if goal.direction == "max" else -1.0
    target = config.target
    if config.weighs_a_cost and target is None:
        raise InvalidValueError(
            f"the reward weighs {config.cost} against a target, and there is none; give reward.target"
        )

    def reward(trial: Trial) -> float:
        metric = trial.metrics.get(goal.name, trial.costs.get(goal.name, math.nan))
        if config.form == "cubed":
            value = metric**3
        elif config.form == "inverse-square":
            value = config.scale / metric**2 if metric else math.inf
        elif config.weighs_a_cost:
            assert target is not None
            value = metric * weighed(_cost(trial, config.cost), target, *(SOFT if config.form == "soft" else HARD))
        else:
            value = sign * metric
        if not math.isfinite(value):
            raise RunError(
                f"the reward of trial {trial.number} is {value}, of {goal.name} {metric}; the trial is kept: choose "
                "another reward.form, and --resume"
            )
        return value

    return reward


def weighed(cost: float, target: float, within: float, beyond: float) -> float:
    """MnasNet's factor (cost / target)**w.

    >>> round(weighed(160, 80, *SOFT), 4), weighed(160, 80, *HARD), weighed(40, 80, *HARD)
    (0.9526, 0.5, 1.0)

    Args:
        cost: Positive.
        target: In the same unit.
        within: w where the cost is at most the target.
        beyond: w where it is more.
    """
    factor: float = (cost / target) ** (within if cost <= target else beyond)
    return factor


def _cost(trial: Trial, name: str) -> float:
    found = trial.costs.get(name, trial.metrics.get(name))
    if found is None:
        known = ", ".join([*trial.costs, *trial.metrics])
        raise InvalidValueError(
            f"the reward weighs {name}, which trials do not have: they have {known}; name one of these, or add "
            f"--goal {name}"
        )
    return found
