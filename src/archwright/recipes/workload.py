"""How much a run computes, and the estimate of its time from a few measured steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from archwright.nn.inputs import call, tensors_of
from archwright.recipes.presets import duration
from archwright.tasks.base import Task
from archwright.training.device import place_batch
from archwright.training.threads import Pace, Step

GLANCE_S = 0.5
"""Of either glance; new memory and the first passes through each network cost much more."""

LONG_S = 5.0
"""Seconds of warm-up, after which the extra cost of a first step does not matter."""

MAX_MEASURED = 64
"""Largest batch of a measured step."""

MAX_SCORED, MAX_SCORED_VALUES = 256, 4_000_000
"""Largest batch of a measured pass without gradients: examples, and numbers in its inputs."""


class Load(NamedTuple):
    """Work of a part of a run, in examples: those trained on, and those that only pass through a network."""

    trained: float
    passed: float = 0.0


class Speed(NamedTuple):
    """Seconds an example: in a training step, and in a pass without gradients."""

    trained_s: float
    passed_s: float = 0.0

    def scaled(self, factor: float) -> Speed:
        """Both times as long."""
        return Speed(self.trained_s * factor, self.passed_s * factor)


@dataclass(frozen=True)
class Timed:
    """A piece of work to be timed, by number, and the examples in it."""

    step: Step
    n_examples: int


@dataclass(frozen=True)
class Workload:
    """What a run computes.

    Attributes:
        training: A training step of its own, to be timed.
        scoring: A pass of a batch without gradients.
        parts: The work of each part of the run, by what it is.
        threads: Threads of one evaluation.
        device: Where it computes.
        notes: What cannot be estimated.
    """

    training: Timed
    scoring: Timed
    parts: Mapping[str, Load]
    threads: int
    device: torch.device
    notes: Sequence[str] = ()

    def glance(self) -> Speed:
        """How fast this machine is now, by a step of each network, and a pass where candidates are scored."""
        trained_s = self._glance(self.training)
        return Speed(trained_s, self._glance(self.scoring) if any(load.passed for load in self.parts.values()) else 0.0)

    def _glance(self, timed: Timed) -> float:
        """Seconds an example, after as long a time that warms up, unless a single step is long."""
        pace = Pace()
        pace.run(timed.step, seconds=GLANCE_S)
        if pace.total_s < LONG_S:
            pace = Pace()
            pace.run(timed.step, seconds=GLANCE_S)
        return pace.step_s / timed.n_examples

    def estimate(self) -> list[str]:
        """The lines of an estimate from a few steps measured now."""
        return self.lines(self.glance())

    def at_pace(self, speed: Speed, pace: Pace) -> Speed:
        """The speed where the training step has another pace; passes become faster or slower with it.

        Args:
            speed: From a glance.
            pace: Of the training step.
        """
        return speed.scaled(pace.step_s / self.training.n_examples / speed.trained_s)

    def seconds(self, speed: Speed) -> float:
        """The time of all parts at a speed."""
        return sum(_seconds(load, speed) for load in self.parts.values())

    def lines(self, speed: Speed, threads: int | None = None) -> list[str]:
        """The estimated time in all, then that of each part, by what it is.

        Args:
            speed: See `Speed`.
            threads: With so many threads; the run's by default.
        """
        n = threads or self.threads
        where = f"on {n} thread{'s' * (n != 1)} of {self.device.type}"
        total = f"estimated time {duration(self.seconds(speed))} {where}"
        if len(self.parts) == 1 and not self.notes:
            return [f"{total}: {next(iter(self.parts))}"]
        each = [(duration(_seconds(load, speed)), what) for what, load in self.parts.items()]
        return [total, *(f"  {time:>9}  {what}" for time, what in [*each, *(("unknown", note) for note in self.notes)])]


def _seconds(load: Load, speed: Speed) -> float:
    return load.trained * speed.trained_s + load.passed * speed.passed_s


def training_step(network: Callable[[int], nn.Module], task: Task, device: torch.device, batch_size: int) -> Timed:
    """A step to be timed, without the optimizer: forward and backward of an example batch.

    Args:
        network: The one of the i-th step, on the device, in channels-last layout.
        task: Whose inputs and loss.
        device: Where.
        batch_size: Examples a step, of which so many are taken at most.
    """
    n = min(batch_size, MAX_MEASURED)
    batch = place_batch(task.example(n), device, True)

    def step(i: int) -> None:
        torch.autograd.backward(task.loss(call(network(i).train(), batch.inputs), batch))

    return Timed(step, n)


def scoring_pass(network: Callable[[int], nn.Module], task: Task, device: torch.device) -> Timed:
    """A pass to be timed, without gradients: what scoring a candidate consists of.

    Args:
        network: The one of the i-th pass, on the device, in channels-last layout.
        task: Whose inputs.
        device: Where.
    """
    n_values = sum(tensor.numel() for tensor in tensors_of(task.example(1).inputs))
    n = max(1, min(MAX_SCORED, MAX_SCORED_VALUES // n_values))
    batch = place_batch(task.example(n), device, True)

    def step(i: int) -> None:
        with torch.inference_mode():
            call(network(i).eval(), batch.inputs)

    return Timed(step, n)
