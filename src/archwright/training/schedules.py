"""The learning rate as a closed form of the step: nothing to store, nothing to restore."""

from __future__ import annotations

import math

from archwright.training.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int, n_steps: int) -> float:
    """Rate of a step, counted from 0.

    Warm-up is a line from 0, just before the first step, to `learning_rate` at step `warmup_steps`, so no step is
    spent at rate 0; where `warmup_from` is not 0, it is the rate of the first step. With w = warmup_steps,
    t = (step - w) / (n_steps - w) and the span from `final_learning_rate` to `learning_rate`, the rate is then the
    lower end plus

        cosine: span * (1 + cos(pi t)) / 2        linear: span * (1 - t)        polynomial: span * (1 - t) ** power

    "cosine-restarts" is "cosine" within each period (Loshchilov and Hutter, ICLR 2017, SGDR): the first is
    `restart_period` long, each further one `restart_factor` times as long as the one before. "inverse-sqrt" is
    `learning_rate` * sqrt(w / step) (Vaswani et al., NIPS 2017, Sec. 5.3, with w at least 1). "constant" stays at
    `learning_rate`; "step" multiplies it by `step_gamma` at each of the `step_milestones`, which are fractions of all
    steps, rounded to a step.

    Args:
        config: The numbers.
        step: Which step.
        n_steps: Of the whole training.

    Examples:
        >>> config = OptimizerConfig(schedule="linear", learning_rate=0.5)
        >>> [learning_rate(config, step, 10) for step in (0, 5, 9)]
        [0.5, 0.25, 0.04999999999999999]
    """
    highest, warmup = config.learning_rate, config.warmup_steps
    if step < warmup:
        if config.warmup_from:
            return config.warmup_from + (highest - config.warmup_from) * step / warmup
        return highest * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return highest
    if config.schedule == "step":
        passed = sum(step >= round(milestone * n_steps) for milestone in config.step_milestones)
        return highest * config.step_gamma**passed
    if config.schedule == "inverse-sqrt":
        return highest * math.sqrt(max(warmup, 1) / max(step, 1))
    span = highest - config.final_learning_rate
    return config.final_learning_rate + span * _remaining(config, step - warmup, n_steps - warmup)


def _remaining(config: OptimizerConfig, step: int, n_steps: int) -> float:
    """What is left of the span, steps counted from the end of warm-up."""
    if config.schedule == "cosine-restarts":
        return (1 + math.cos(math.pi * _passed(config, step, n_steps))) / 2
    t = step / n_steps
    if config.schedule == "cosine":
        return (1 + math.cos(math.pi * t)) / 2
    return (1 - t) ** (config.power if config.schedule == "polynomial" else 1)


def _passed(config: OptimizerConfig, step: float, n_steps: int) -> float:
    """Share of its period that a step has behind it."""
    period = config.restart_period if config.restart_period >= 1 else config.restart_period * n_steps
    if config.restart_factor == 1:
        return step % period / period
    while step >= period:
        step, period = step - period, period * config.restart_factor
    return step / period
