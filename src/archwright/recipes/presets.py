"""What recipes have in common: lengths and rates of trainings, threads, times in words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError
from archwright.runs.lengths import check_lengths
from archwright.training.config import TrainingConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


LOW_RATE = 0.05
"""Of supernets, whose paths learn from each other's steps, and of searches that meet networks without batch norm."""

QUICK_STEPS = 1000
"""Steps of 64 examples of the final training in the preset `quick`; with --time, its share of the run."""

LONG_S = 3600.0
"""Seconds of the preset `long`."""

MAX_SECONDS = 10_000_000.0
"""The longest time a run accepts, a third of a year."""


def check_time(time_s: float | None, plan: Mapping[str, int] | None) -> None:
    """Refuse a time that no run can take, and lengths that no part can have.

    Raises:
        InvalidValueError: Names the setting.
    """
    if time_s is not None:
        check_range("time_s", time_s, 1, MAX_SECONDS)
    check_lengths(plan or {})


def check_start(weights: str | None, ignore: Sequence[str], *, averaged: bool) -> None:
    """Refuse terms of a start from given weights where there are none.

    Args:
        weights: The file, if one is given.
        ignore: Names of parts that begin anew.
        averaged: Take the moving average of the weights.

    Raises:
        InvalidValueError: Names the setting.
    """
    if weights is None and (ignore or averaged):
        name, value = ("ignore", tuple(ignore)) if ignore else ("averaged", True)
        raise InvalidValueError(f"{name} is {value}, and no weights are given to begin with; give weights too")


def told_threads() -> int | None:
    """OMP_NUM_THREADS where it is set to a number of threads."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) > 0 else None


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set, else the cores this process may use."""
    told = told_threads()
    if told is not None:
        return told
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spos_training(steps: int) -> TrainingConfig:
    """SGD of SPOS's released code: decay on weights only, rate falling linearly to zero, smoothed labels."""
    return TrainingConfig(
        steps=steps,
        batch_size=1024,
        learning_rate=0.5,
        momentum=0.9,
        weight_decay=4e-5,
        schedule="linear",
        label_smoothing=0.1,
    )


def amoeba_training(epochs: int) -> TrainingConfig:
    """Training of AmoebaNet on CIFAR-10 (Real et al., 2019), without its path dropout and auxiliary head."""
    return TrainingConfig(
        epochs=epochs, batch_size=128, learning_rate=0.024, momentum=0.9, weight_decay=5e-4, schedule="cosine"
    )


def usual_training(*, steps: int, batch_size: int, rate: float = 0.1) -> TrainingConfig:
    """For networks that are handed out, those beside them, supernets and candidates: Muon, a short warm-up, a cosine.

    Dense convolutions move by Muon and all else by SGD with Nesterov's momentum, at rates that grow with the square
    root of the batch. Weights decay but for those of norms and biases; labels are smoothed. What was measured beside
    it stands in `docs/benchmarks.md`.

    Args:
        steps: Its length.
        batch_size: Examples a step.
        rate: Highest learning rate of batches of 64.
    """
    return TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        optimizer="muon",
        learning_rate=round(rate * (batch_size / 64) ** 0.5, 4),
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        schedule="cosine",
        warmup_steps=steps // 10,
        label_smoothing=0.1,
    )


def nesterov_training(epochs: int) -> TrainingConfig:
    """Of the paper's convolutional children: Nesterov's momentum at rate 0.1; the decay is DenseNet's, from memory.

    Args:
        epochs: Its length.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=128,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="constant",
    )


def nasnet_training(epochs: int) -> TrainingConfig:
    """A single cosine with momentum (appendix A); rate and decay are those of its released CIFAR-10 training.

    Args:
        epochs: Its length.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=32,
        learning_rate=0.025,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="cosine",
        clip_norm=5.0,
    )


def darts_training(epochs: float = 600, *, batch_size: int = 96, lowest: float = 0.0) -> TrainingConfig:
    """The final training of DARTS's released code on CIFAR-10, without its cutout; its search differs in the arguments.

    Args:
        epochs: Its length.
        batch_size: Of a step.
        lowest: Rate at the end.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.025,
        final_learning_rate=lowest,
        momentum=0.9,
        weight_decay=3e-4,
        decay_norm_and_bias=True,
        schedule="cosine",
        clip_norm=5.0,
        augment="crop,mirror",
    )


def fbnet_training(epochs: float, *, batch_size: int) -> TrainingConfig:
    """SGD at rate 0.1 with a cosine, as re-implementations of FBNet's search give the paper's numbers.

    Args:
        epochs: Its length.
        batch_size: Of a step.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="cosine",
    )


def proxyless_training(epochs: float) -> TrainingConfig:
    """Nesterov's momentum at rate 0.025 with a cosine and smoothed labels, of ProxylessNAS's released search.

    Args:
        epochs: Its length.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=256,
        learning_rate=0.025,
        momentum=0.9,
        nesterov=True,
        weight_decay=4e-5,
        schedule="cosine",
        label_smoothing=0.1,
    )


def rmsprop_training(epochs: int) -> TrainingConfig:
    """RMSProp with decay and momentum 0.9 at rate 0.256 for batches of 4,096 (Sec. 5), here for 256.

    Args:
        epochs: Its length.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=256,
        optimizer="rmsprop",
        learning_rate=0.016,
        momentum=0.9,
        squares_decay=0.9,
        eps=1e-3,
        weight_decay=1e-5,
        schedule="cosine",
    )


def enas_training(epochs: int, *, batch_size: int, penalty: float, lowest: float) -> TrainingConfig:
    """Nesterov's momentum with cosine restarts of the released CIFAR-10 scripts (melodyguan/enas).

    Args:
        epochs: Length; restarts are 10, 20, 40, … epochs long.
        batch_size: Of a step.
        penalty: Factor of the squared norm, without the half that torch's decay has.
        lowest: Rate at the end of each period.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.05,
        final_learning_rate=lowest,
        momentum=0.9,
        nesterov=True,
        weight_decay=2 * penalty,
        decay_norm_and_bias=True,
        schedule="cosine-restarts",
        restart_period=10 / epochs,
        restart_factor=2,
        augment="crop,mirror",
    )


def small_language_training(*, steps: int, batch_size: int) -> TrainingConfig:
    """For some hundred thousand tokens: Adam, a rate that falls like a cosine, clipped gradients.

    The rate suits wide networks too: ten times as much made DARTS's first recurrent cell, 850 wide, diverge in 4 steps.
    """
    return TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        optimizer="adam",
        learning_rate=0.001,
        schedule="cosine",
        warmup_steps=steps // 20,
        clip_norm=1.0,
    )


def darts_language_training(
    epochs: float = 8000, *, batch_size: int = 64, weight_decay: float = 8e-7
) -> TrainingConfig:
    """SGD at rate 20 of DARTS's released recurrent code (Liu et al., 2019; the numbers of `rnn/train.py`).

    Deviations: the code begins to average the weights when the validation loss has not fallen for five epochs, here the
    last half is averaged; it draws each window's length about 35, here all are as long as the task says.

    Args:
        epochs: Length of the training.
        batch_size: Streams of text that are read side by side.
        weight_decay: L2 penalty on all parameters.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        optimizer="sgd",
        learning_rate=20.0,
        momentum=0.0,
        weight_decay=weight_decay,
        decay_norm_and_bias=True,
        schedule="constant",
        average_from=0.5,
        clip_norm=0.25,
    )


def darts_language_search() -> TrainingConfig:
    """The weights' training in DARTS's recurrent search (`rnn/train_search.py`): 50 epochs of 256 streams."""
    return replace(darts_language_training(50, batch_size=256, weight_decay=5e-7), average_from=None)


def enas_language_training() -> TrainingConfig:
    """SGD of ENAS on the Penn Treebank (Pham et al., 2018): rate 20, from epoch 15 on times 0.96 an epoch, clipped."""
    epochs, kept = 150, 15
    return TrainingConfig(
        epochs=epochs,
        batch_size=64,
        optimizer="sgd",
        learning_rate=20.0,
        momentum=0.0,
        weight_decay=1e-7,
        decay_norm_and_bias=True,
        schedule="step",
        step_milestones=tuple(epoch / epochs for epoch in range(kept, epochs)),
        step_gamma=0.96,
        clip_norm=0.25,
    )


Config = TypeVar("Config", bound="DataclassInstance")


def suited(config: Config, input_shape: Sequence[int]) -> Config:
    """A recipe's short preset adapted to the data: for texts, all trainings become language-model trainings.

    Steps and batch sizes stay. No int8 file is tried of a network that takes tokens.

    Args:
        config: The preset for images.
        input_shape: (C, H, W) of images, (T,) of texts.
    """
    if len(input_shape) != 1:
        return config
    changed: dict[str, Any] = {
        field.name: small_language_training(steps=value.steps, batch_size=value.batch_size)
        for field in fields(config)
        if isinstance(value := getattr(config, field.name), TrainingConfig) and value.steps is not None
    }
    if hasattr(config, "int8"):
        changed["int8"] = False
    return replace(config, **changed)


def long(quick: Config) -> Config:
    """The preset `long` of a recipe: `quick` drawn out to an hour of this machine.

    Args:
        quick: Its lengths say how the hour is shared.
    """
    changed: dict[str, Any] = {"time_s": LONG_S}
    if hasattr(quick, "n_draws"):
        changed["n_draws"] = 0
    return replace(quick, **changed)


def duration(seconds: float) -> str:
    """An estimated time, rounded as coarsely as it is known.

    >>> duration(0.2), duration(400), duration(30_000), duration(1e7)
    ('1 s', '7 min', '8 h', '116 days')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:,.0f} h" if seconds < 172_800 else f"{seconds / 86_400:,.0f} days"
