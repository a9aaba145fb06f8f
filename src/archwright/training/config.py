"""How a network is trained, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from archwright.core.config import added_field
from archwright.core.errors import InvalidValueError
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Split
from archwright.tasks.batching import steps_per_epoch

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop", "muon"]
ScheduleName = Literal["constant", "cosine", "cosine-restarts", "linear", "step", "polynomial", "inverse-sqrt"]
Precision = Literal["float32", "bfloat16", "float16", "auto"]

MAX_STEPS, MAX_EPOCHS, MAX_BATCH = 10**12, 1_000_000, 1_000_000
"""Largest accepted steps, epochs and batch size; larger ones are taken for typing errors."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and schedule of one learner: of a network, of arch parameters, of a discriminator.

    Attributes:
        optimizer: "sgd", "adam" (decay as an L2 term of the gradient), "adamw" (decay apart from it), "rmsprop", or
            "muon" (weights of dense convolutions by `muon.Muon`, all others by SGD).
        learning_rate: Highest learning rate.
        muon_rate: Muon's own learning rate as a multiple of the others'.
        momentum: Of SGD, Muon and RMSprop.
        dampening: Share of a gradient that does not enter SGD's momentum.
        nesterov: Nesterov's form of momentum, of SGD and Muon.
        betas: Decay of Adam's first and second moments.
        amsgrad: Whether Adam divides by the largest second moment so far (AMSGrad).
        squares_decay: Decay of RMSprop's mean of squared gradients (torch's `alpha`).
        centered: Whether RMSprop divides by the standard deviation of the gradients, not by their root mean square.
        eps: What Adam and RMSprop add to the root they divide by.
        weight_decay: L2 coefficient; Muon's weights lose that share of theirs at rate 1.
        decay_norm_and_bias: Whether decay also meets parameters of at most one axis (biases, norms).
        schedule: How the rate falls after warm-up; see `schedules.learning_rate`.
        warmup_steps: Steps in which the rate rises linearly.
        warmup_from: Rate of the first step of warm-up; at 0 the line begins just before the first step.
        final_learning_rate: Where "cosine", each period of "cosine-restarts", "linear" and "polynomial" end.
        step_milestones: "step" multiplies the rate by `step_gamma` at these fractions of the training.
        step_gamma: Factor of "step".
        power: Exponent of "polynomial".
        restart_period: Length of the first period of "cosine-restarts": steps, or below 1 a share of those after
            warm-up.
        restart_factor: How many times as long as the one before each further period is.
        accumulate: Losses whose mean gradient makes one step of `Learner.descend`; in `fit`, the batches of a step.
        ema_decay: Train an exponential moving average of the weights beside them and end with it; None for none.
        average_from: Share of the training after which the weights of every step enter a plain mean, which the network
            ends with (averaged SGD); None for none. Give this or `ema_decay`.
        clip_norm: Largest total norm of the gradients; None for no clipping.

    Raises:
        InvalidValueError: If a value is out of its range; names the field.
    """

    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.1
    muon_rate: float = added_field(0.5, absent=0.5)
    momentum: float = 0.9
    dampening: float = added_field(0.0, absent=0.0)
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    amsgrad: bool = added_field(False, absent=False)
    squares_decay: float = added_field(0.99, absent=0.99)
    centered: bool = added_field(False, absent=False)
    eps: float = added_field(1e-8, absent=1e-8)
    weight_decay: float = 0.0
    decay_norm_and_bias: bool = False
    schedule: ScheduleName = "cosine"
    warmup_steps: int = 0
    warmup_from: float = added_field(0.0, absent=0.0)
    final_learning_rate: float = 0.0
    step_milestones: tuple[float, ...] = (0.5, 0.75)
    step_gamma: float = 0.1
    power: float = 1.0
    restart_period: float = added_field(0.5, absent=0.5)
    restart_factor: float = added_field(1.0, absent=1.0)
    accumulate: int = added_field(1, absent=1)
    ema_decay: float | None = None
    average_from: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _check_optimizer(self)
        _check_schedule(self)
        ema = self.ema_decay
        _require("ema_decay", ema, ema is None or 0 <= ema < 1, "a number in [0, 1), or None for no average")
        mean = self.average_from
        is_share = mean is None or (0 <= mean < 1 and ema is None)
        _require("average_from", mean, is_share, "a number in [0, 1), with ema_decay None; or None for no average")
        clip = self.clip_norm
        _require("clip_norm", clip, clip is None or 0 < clip < math.inf, "a positive number, or None for no clipping")
        _require("accumulate", self.accumulate, 1 <= self.accumulate <= MAX_BATCH, f"at least 1, at most {MAX_BATCH:,}")

    def check_steps(self, n: int) -> None:
        """Refuse a training of n steps in which warm-up leaves none at the full rate.

        Raises:
            InvalidValueError: Names both numbers.
        """
        _require("warmup_steps", self.warmup_steps, self.warmup_steps < n, f"fewer than the {n} steps of this training")


@dataclass(frozen=True)
class TrainingConfig(OptimizerConfig):
    """Length, optimizer, schedule and precision of one training.

    Attributes:
        steps: Optimizer steps; give this or `epochs`.
        epochs: Passes over the training part (of complete batches), may be a fraction.
        batch_size: Examples a batch.
        augment: Random changes of training examples: "none", or "crop", "mirror", "jitter", "auto", comma-joined;
            "usual" takes those of the data, for images a crop.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        channels_last: Keep images and convolution weights in channels-last layout, the faster one; with precision
            "auto", networks that a CPU trains faster in the contiguous layout have that (see `forms.form_of`).
        precision: Of the forward pass; "auto" is mixed precision on GPUs, and on CPUs with bfloat16 tiles for networks
            of dense convolutions (see `forms.form_of`).

    The other attributes are those of `OptimizerConfig`.

    Raises:
        InvalidValueError: If a value is out of its range; names the field.
    """

    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 128
    augment: str = added_field("usual", absent="usual")
    label_smoothing: float = 0.0
    channels_last: bool = True
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _check_length(self)
        super().__post_init__()
        too_long = self.steps is not None and self.warmup_steps >= self.steps
        _require("warmup_steps", self.warmup_steps, not too_long, "0 or more, below steps")
        parse_augment(self.augment)
        _require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "a number in [0, 1)")
        _choice("precision", self.precision, get_args(Precision))

    def lasting(self, n_steps: int, of: int) -> TrainingConfig:
        """The same training in another number of steps; its warm-up is as large a share of them.

        Args:
            n_steps: How many.
            of: How many it has now.
        """
        warmup = min(round(self.warmup_steps * n_steps / of), n_steps - 1)
        return replace(self, steps=n_steps, epochs=None, warmup_steps=warmup)

    def n_steps(self, examples: int | Split) -> int:
        """Optimizer steps of a training on that split, or on that many examples; at least 1.

        Raises:
            InvalidValueError: If warm-up leaves no step to train at the full rate.
        """
        if self.steps is not None:
            n = self.steps
        else:
            assert self.epochs is not None  # exactly one is given, see _check_length
            split, size = examples, self.batch_size
            per_epoch = split.steps_per_epoch(size) if isinstance(split, Split) else steps_per_epoch(split, size)
            n = max(1, round(self.epochs * per_epoch / self.accumulate))
        self.check_steps(n)
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


def _check_optimizer(config: OptimizerConfig) -> None:
    _choice("optimizer", config.optimizer, get_args(OptimizerName))
    _require("learning_rate", config.learning_rate, 0 < config.learning_rate < math.inf, "a positive number")
    _require("muon_rate", config.muon_rate, 0 < config.muon_rate < math.inf, "a positive number")
    _require("momentum", config.momentum, 0 <= config.momentum < 1, "a number in [0, 1)")
    _require("dampening", config.dampening, 0 <= config.dampening < 1, "a number in [0, 1)")
    _require("dampening", config.dampening, not config.dampening or config.optimizer != "muon", "0 with muon")
    can_look_ahead = config.momentum > 0 and config.dampening == 0
    _require(
        "nesterov", config.nesterov, not config.nesterov or can_look_ahead, "False where momentum is 0 or dampening not"
    )
    is_pair = len(config.betas) == 2 and all(0 <= beta < 1 for beta in config.betas)
    _require("betas", config.betas, is_pair, "two numbers in [0, 1)")
    _require("squares_decay", config.squares_decay, 0 <= config.squares_decay < 1, "a number in [0, 1)")
    _require("eps", config.eps, 0 < config.eps < math.inf, "a positive number")
    _require("weight_decay", config.weight_decay, 0 <= config.weight_decay < math.inf, "0 or more")


def _check_schedule(config: OptimizerConfig) -> None:
    _choice("schedule", config.schedule, get_args(ScheduleName))
    _require("warmup_steps", config.warmup_steps, config.warmup_steps >= 0, "0 or more, below steps")
    can_rise = 0 <= config.warmup_from <= config.learning_rate
    _require("warmup_from", config.warmup_from, can_rise, "a number from 0 to learning_rate")
    is_below = 0 <= config.final_learning_rate <= config.learning_rate
    _require("final_learning_rate", config.final_learning_rate, is_below, "a number from 0 to learning_rate")
    milestones = config.step_milestones
    is_rising = all(0 < m < 1 for m in milestones) and list(milestones) == sorted(milestones)
    _require("step_milestones", milestones, is_rising, "rising fractions of the training in (0, 1)")
    _require("step_gamma", config.step_gamma, 0 < config.step_gamma <= 1, "a number in (0, 1]")
    _require("power", config.power, 0 < config.power < math.inf, "a positive number")
    period = config.restart_period
    _require("restart_period", period, 0 < period <= MAX_STEPS, "steps, or a share of them below 1")
    _require("restart_factor", config.restart_factor, 1 <= config.restart_factor <= 1000, "a number from 1 to 1,000")


def _choice(field: str, value: object, accepted: Sequence[str]) -> None:
    _require(field, value, value in accepted, f"one of {', '.join(accepted)}")


def _require(field: str, value: Any, is_accepted: bool, accepted: str) -> None:
    if not is_accepted:
        raise InvalidValueError(f"{field} is {value!r}; accepted: {accepted}")
