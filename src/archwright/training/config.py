"""How a network is trained, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from archwright.core.errors import InvalidValueError
from archwright.tasks.batching import steps_per_epoch

OptimizerName = Literal["sgd", "adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "linear", "step", "polynomial"]
Precision = Literal["float32", "bfloat16", "float16", "auto"]

MAX_STEPS, MAX_EPOCHS, MAX_BATCH = 10**12, 1_000_000, 1_000_000
"""More is a slip of the keyboard."""


@dataclass(frozen=True)
class TrainingConfig:
    """Length, optimizer, schedule and precision of one training.

    Attributes:
        steps: Optimizer steps; give this or `epochs`.
        epochs: Passes over the training part (of complete batches), may be a fraction.
        batch_size: Examples a step.
        optimizer: "sgd", "adam" (decay as an L2 term of the gradient) or "adamw" (decay apart from it).
        learning_rate: Highest learning rate.
        momentum: Of SGD.
        nesterov: Nesterov's form of momentum, of SGD.
        betas: Decay of Adam's first and second moments.
        weight_decay: L2 coefficient.
        decay_norm_and_bias: Whether decay also meets parameters of at most one axis (biases, norms).
        schedule: How the rate falls after warm-up; see `schedules.learning_rate`.
        warmup_steps: Steps in which the rate rises linearly from 0.
        final_learning_rate: Where "cosine", "linear" and "polynomial" end.
        step_milestones: "step" multiplies the rate by `step_gamma` at these fractions of the training.
        step_gamma: Factor of "step".
        power: Exponent of "polynomial".
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        ema_decay: Train an exponential moving average of the weights beside them and end with it; None for none.
        clip_norm: Largest total norm of the gradients; None for no clipping.
        channels_last: Keep images and convolution weights in channels-last layout, the faster one.
        precision: Of the forward pass; "auto" is mixed precision where the device has it.

    Raises:
        InvalidValueError: If a value is out of its range; names the field.
    """

    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 128
    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    decay_norm_and_bias: bool = False
    schedule: ScheduleName = "cosine"
    warmup_steps: int = 0
    final_learning_rate: float = 0.0
    step_milestones: tuple[float, ...] = (0.5, 0.75)
    step_gamma: float = 0.1
    power: float = 1.0
    label_smoothing: float = 0.0
    ema_decay: float | None = None
    clip_norm: float | None = None
    channels_last: bool = True
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _check_length(self)
        _check_optimizer(self)
        _check_schedule(self)
        _require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "a number in [0, 1)")
        ema = self.ema_decay
        _require("ema_decay", ema, ema is None or 0 <= ema < 1, "a number in [0, 1), or None for no average")
        clip = self.clip_norm
        _require("clip_norm", clip, clip is None or 0 < clip < math.inf, "a positive number, or None for no clipping")
        _choice("precision", self.precision, get_args(Precision))

    def n_steps(self, n_examples: int) -> int:
        """Optimizer steps of a training on that many examples, at least 1.

        Raises:
            InvalidValueError: If warm-up leaves no step to train at the full rate.
        """
        if self.steps is not None:
            n = self.steps
        else:
            assert self.epochs is not None  # exactly one is given, see _check_length
            n = max(1, round(self.epochs * steps_per_epoch(n_examples, self.batch_size)))
        _require("warmup_steps", self.warmup_steps, self.warmup_steps < n, f"fewer than the {n} steps of this training")
        return n


def _check_length(config: TrainingConfig) -> None:
    if (config.steps is None) == (config.epochs is None):
        raise InvalidValueError(f"steps is {config.steps!r} and epochs is {config.epochs!r}; give exactly one of them")
    _require(
        "steps",
        config.steps,
        config.steps is None or 1 <= config.steps <= MAX_STEPS,
        f"at least 1, at most {MAX_STEPS:,}",
    )
    epochs = config.epochs
    _require("epochs", epochs, epochs is None or 0 < epochs <= MAX_EPOCHS, f"a positive number up to {MAX_EPOCHS:,}")
    _require("batch_size", config.batch_size, 1 <= config.batch_size <= MAX_BATCH, f"at least 1, at most {MAX_BATCH:,}")


def _check_optimizer(config: TrainingConfig) -> None:
    _choice("optimizer", config.optimizer, get_args(OptimizerName))
    _require("learning_rate", config.learning_rate, 0 < config.learning_rate < math.inf, "a positive number")
    _require("momentum", config.momentum, 0 <= config.momentum < 1, "a number in [0, 1)")
    _require("nesterov", config.nesterov, not config.nesterov or config.momentum > 0, "False where momentum is 0")
    is_pair = len(config.betas) == 2 and all(0 <= beta < 1 for beta in config.betas)
    _require("betas", config.betas, is_pair, "two numbers in [0, 1)")
    _require("weight_decay", config.weight_decay, 0 <= config.weight_decay < math.inf, "0 or more")


def _check_schedule(config: TrainingConfig) -> None:
    _choice("schedule", config.schedule, get_args(ScheduleName))
    too_long = config.steps is not None and config.warmup_steps >= config.steps
    _require("warmup_steps", config.warmup_steps, config.warmup_steps >= 0 and not too_long, "0 or more, below steps")
    is_below = 0 <= config.final_learning_rate <= config.learning_rate
    _require("final_learning_rate", config.final_learning_rate, is_below, "a number from 0 to learning_rate")
    milestones = config.step_milestones
    is_rising = all(0 < m < 1 for m in milestones) and list(milestones) == sorted(milestones)
    _require("step_milestones", milestones, is_rising, "rising fractions of the training in (0, 1)")
    _require("step_gamma", config.step_gamma, 0 < config.step_gamma <= 1, "a number in (0, 1]")
    _require("power", config.power, 0 < config.power < math.inf, "a positive number")


def _choice(field: str, value: object, accepted: Sequence[str]) -> None:
    _require(field, value, value in accepted, f"one of {', '.join(accepted)}")


def _require(field: str, value: Any, is_accepted: bool, accepted: str) -> None:
    if not is_accepted:
        raise InvalidValueError(f"{field} is {value!r}; accepted: {accepted}")
