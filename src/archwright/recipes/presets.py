"""What recipes have in common: lengths and rates of trainings, threads, times in words."""

from __future__ import annotations

import os
from dataclasses import replace

from archwright.training.config import TrainingConfig


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set, else the cores this process may use."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
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


def small_training(*, steps: int, batch_size: int) -> TrainingConfig:
    """For a few thousand small images: SPOS's training with a rate that suits the batch."""
    return replace(
        spos_training(steps), batch_size=batch_size, learning_rate=0.1, nesterov=True, warmup_steps=steps // 20
    )


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
