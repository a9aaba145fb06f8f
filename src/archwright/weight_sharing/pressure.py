"""Cost in the objective of arch parameters: the forms of the papers, and one that keeps a limit by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from archwright.core import catalog
from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.costs.base import Cost
from archwright.costs.tables.scopes import Probabilities
from archwright.spaces.base import Space

Form = Literal["none", "added", "log-added", "relative", "log-power", "log-ratio", "target"]

Measure = Callable[[Probabilities], Tensor]
"""The value of a cost, a scalar, where values of decisions have these probabilities."""

RATE, DAMPING, MOST_PRESSURE = 0.1, 30.0, 1_000.0
"""How fast the multiplier of a target moves; a pressure in proportion to the excess, without which Adam makes it swing;
and the largest multiplier."""


@dataclass(frozen=True)
class PressureConfig:
    """How the cost of architectures enters the loss L of arch parameters; E is its expected value.

    Attributes:
        form: "none", or with a weight w and an exponent b

            - "added": L + w E / reference (SNAS: η E; ProxylessNAS's λ2 E)
            - "log-added": L + w ln E
            - "relative": L + w (E - reference) / reference (ProxylessNAS's released code, `add#linear`)
            - "log-power": L w (ln E)^b (FBNet, Eq. 2; E has to be above 1 in its unit)
            - "log-ratio": w L (ln E / ln reference)^b (ProxylessNAS's released code, `mul#log`)
            - "target": L + w m (E / limit - t): the multiplier m rises while E is above the target t and falls while
              it is below (dual ascent), so that no weight has to be found; with several limits, of the one that is
              closest to be broken.
        cost: Catalogue name of the cost; empty takes those that limits name, or multiply-accumulates where none does.
        weight: w.
        exponent: b.
        reference: See `form`; None is the limit, or 1 where the cost has none.
        least: Share of a limit that is to be used: "target" aims at the middle between it and 1.
        sampled: Whether E is that of the step's sampled mixture, as in FBNet, and not that under the policy.
    """

    form: Form = "none"
    cost: str = ""
    weight: float = 1.0
    exponent: float = 1.0
    reference: float | None = None
    least: float = 0.95
    sampled: bool = False

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise UnknownNameError("form of a pressure", self.form, get_args(Form))
        if self.cost:
            catalog.find("cost", self.cost)
        check_range("pressure.weight", self.weight, 0, 1e9)
        check_range("pressure.exponent", self.exponent, -100, 100)
        check_range("pressure.least", self.least, 0, 1)
        if self.reference is not None and not 0 < self.reference < math.inf:
            raise InvalidValueError(f"pressure.reference is {self.reference}; give a number above 0")


@dataclass(frozen=True)
class Measured:
    """A cost that presses.

    Attributes:
        name: Of the cost.
        measure: Gives its value.
        limit: What it must not exceed, if there is a limit.
    """

    name: str
    measure: Measure
    limit: float | None = None


def expected_cost(cost: Cost, space: Space, limit: float | None = None) -> Measured:
    """The expected value of an additive cost.

    Args:
        cost: The cost.
        space: Of the stand-alone networks it is the cost of.
        limit: On it.
    """
    return Measured(cost.name, lambda probabilities: cost.expected(space, probabilities), limit)


class Pressure:
    """Adds the cost to a loss, and keeps the multiplier of the form "target".

    Args:
        config: Its numbers.
        costs: What presses; with the form "target" each has a limit.

    Raises:
        InvalidValueError: If the form needs a cost or a limit that is not there.
    """

    def __init__(self, config: PressureConfig, costs: Sequence[Measured] = ()) -> None:
        self.config, self.costs = config, tuple(costs)
        self.multiplier, self.last = 0.0, math.nan
        if config.form == "none":
            return
        if not costs:
            raise InvalidValueError(f"a pressure of form {config.form} has no cost; give one")
        if config.form == "target" and any(cost.limit is None for cost in costs):
            raise InvalidValueError(
                "a pressure of form target keeps limits, and there is none; give one, e.g. --max-macs 2M, or another "
                "pressure.form"
            )

    @property
    def presses(self) -> bool:
        """Whether a loss changes."""
        return self.config.form != "none"

    def __call__(self, loss: Tensor, probabilities: Probabilities) -> Tensor:
        """The loss with what the cost adds; "target" moves its multiplier.

        Args:
            loss: Of the task.
            probabilities: By decision, of each value; differentiable.

        Raises:
            InvalidValueError: If a logarithm of a cost of at most 1 would be taken.
        """
        if not self.presses:
            return loss
        if self.config.form == "target":
            return loss + self._towards_target(probabilities).to(loss)
        for cost in self.costs:
            loss = self._with(loss, cost, cost.measure(probabilities))
        return loss

    def _with(self, loss: Tensor, cost: Measured, value: Tensor) -> Tensor:
        config = self.config
        reference = config.reference or cost.limit
        self.last = value.item()
        if config.form == "added":
            return loss + config.weight * (value / (reference or 1.0)).to(loss)
        if config.form == "relative":
            reference = reference or 1.0
            return loss + config.weight * ((value - reference) / reference).to(loss)
        least = 0.0 if config.form == "log-added" else 1.0
        if not self.last > least:
            raise InvalidValueError(
                f"the expected {cost.name} is {self.last:.4g}, and pressure.form {config.form} takes its logarithm "
                f"and wants more than {least:g}; take a smaller unit or another form"
            )
        if config.form == "log-added":
            return loss + config.weight * value.log().to(loss)
        if config.form == "log-power":
            return loss * config.weight * (value.log() ** config.exponent).to(loss)
        if reference is None or reference <= 1:
            raise InvalidValueError(
                f"pressure.reference is {reference}; pressure.form log-ratio wants a number above 1, in the unit of "
                f"{cost.name}"
            )
        return loss * config.weight * ((value.log() / math.log(reference)) ** config.exponent).to(loss)

    def _towards_target(self, probabilities: Probabilities) -> Tensor:
        shares = torch.stack([cost.measure(probabilities) / cost.limit for cost in self.costs if cost.limit])
        excess = shares.max() - (1 + self.config.least) / 2
        self.last = shares.max().item()
        pressed = self.config.weight * (self.multiplier + DAMPING * excess.detach()) * excess
        moved = self.multiplier + RATE * excess.item()
        self.multiplier = min(max(moved, -MOST_PRESSURE), MOST_PRESSURE)
        return pressed

    # ── state ─────────────────────────────────────────────────────────────────────────────────────

    def tensors(self) -> dict[str, Tensor]:
        """The multiplier, for a checkpoint."""
        return {"multiplier": torch.tensor(self.multiplier, dtype=torch.float64)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` gave."""
        self.multiplier = float(tensors["multiplier"])

    def state(self) -> None:
        """Nothing beside the tensor."""

    def load_state(self, state: Any) -> None:
        """Nothing beside the tensor."""
