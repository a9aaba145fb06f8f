"""The learning rate as a closed form of the step: nothing to store, nothing to restore."""

from __future__ import annotations

import math

from archwright.training.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, n_steps: int) -> float:
    """Rate of a step, counted from 0.

    Warm-up is a line from 0, just before the first step, to `learning_rate` at step `warmup_steps`, so no step is
    spent at rate 0. With t = (step - warmup_steps) / (n_steps - warmup_steps) and the span from
    `final_learning_rate` to `learning_rate`, the rate is then the lower end plus

        cosine: span * (1 + cos(pi t)) / 2        linear: span * (1 - t)        polynomial: span * (1 - t) ** power

    "constant" stays at `learning_rate`; "step" multiplies it by `step_gamma` at each of the `step_milestones`,
    which are fractions of all steps, rounded to a step.

    >>> config = TrainingConfig(steps=10, schedule="linear", learning_rate=0.5)
    >>> [learning_rate(config, step, 10) for step in (0, 5, 9)]
    [0.5, 0.25, 0.04999999999999999]
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "step":
        passed = sum(step >= round(milestone * n_steps) for milestone in config.step_milestones)
        return config.learning_rate * config.step_gamma**passed
    t = (step - config.warmup_steps) / (n_steps - config.warmup_steps)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * _remaining(config, t)


def _remaining(config: TrainingConfig, t: float) -> float:
    if config.schedule == "cosine":
        return (1 + math.cos(math.pi * t)) / 2
    return (1 - t) ** (config.power if config.schedule == "polynomial" else 1)
