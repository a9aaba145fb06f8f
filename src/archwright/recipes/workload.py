"""How much a run computes, and the step by which its time is estimated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from archwright.nn.inputs import call
from archwright.recipes.presets import duration
from archwright.tasks.base import Task
from archwright.training.device import place_batch
from archwright.training.threads import Pace, Step

GLANCE_S = 1.0
LONG_S = 5.0
"""Beside so long a warm-up, what only a first step has to do does not matter."""

MAX_MEASURED = 64
"""Images of a measured step at most."""


class Load(NamedTuple):
    """What a part of a run computes, in images: those trained on, and those that only pass through a network."""

    trained: float
    passed: float = 0.0


@dataclass(frozen=True)
class Workload:
    """What a run computes.

    Attributes:
        step: A training step of its own, to be timed.
        batch_size: Images of that step.
        n_networks: Networks the step goes through in turn.
        parts: The work of each part of the run, by what it is.
        threads: Threads of one evaluation.
        device: Where it computes.
        notes: What cannot be estimated.
    """

    step: Step
    batch_size: int
    n_networks: int
    parts: Mapping[str, Load]
    threads: int
    device: torch.device
    notes: Sequence[str] = ()

    def glance(self) -> Pace:
        """The pace of a step of each network, after as many that warm up; fewer where steps are slow."""
        pace = Pace()
        pace.run(self.step, seconds=GLANCE_S, most=self.n_networks)
        if pace.total_s < LONG_S:
            pace = Pace()
            pace.run(self.step, seconds=GLANCE_S, most=self.n_networks)
        return pace

    def estimate(self) -> list[str]:
        """The lines of an estimate from a few steps measured now."""
        return self.lines(self.glance())

    def seconds(self, pace: Pace) -> float:
        """The time of all parts at a pace."""
        return sum(self._part_seconds(load, pace) for load in self.parts.values())

    def lines(self, pace: Pace, threads: int | None = None) -> list[str]:
        """The estimated time in all, then that of each part, by what it is.

        Args:
            pace: Of a step.
            threads: With so many threads; the run's by default.
        """
        n = threads or self.threads
        where = f"on {n} thread{'s' * (n != 1)} of {self.device.type}"
        total = f"estimated time {duration(self.seconds(pace))} {where}"
        if len(self.parts) == 1 and not self.notes:
            return [f"{total}: {next(iter(self.parts))}"]
        each = [(duration(self._part_seconds(load, pace)), what) for what, load in self.parts.items()]
        return [total, *(f"  {time:>9}  {what}" for time, what in [*each, *(("unknown", note) for note in self.notes)])]

    def _part_seconds(self, load: Load, pace: Pace) -> float:
        return (load.trained * pace.step_s + load.passed * pace.forward_s) / self.batch_size


def training_step(network: Callable[[int], nn.Module], task: Task, device: torch.device, batch_size: int) -> Step:
    """A step to be timed, without the optimizer: forward and backward of an example batch.

    Args:
        network: The one of the i-th step, on the device, in channels-last layout.
        task: Whose inputs and loss.
        device: Where.
        batch_size: Images a step.
    """
    batch = place_batch(task.example(batch_size), device, True)

    def step(i: int) -> float:
        chosen = network(i)
        started = time.perf_counter()
        loss = task.loss(call(chosen, batch.inputs), batch)
        forward_s = time.perf_counter() - started
        torch.autograd.backward(loss)
        return forward_s

    return step
