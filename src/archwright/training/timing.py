"""Time training steps and scoring passes on this machine, on example batches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from archwright.nn.inputs import call, tensors_of
from archwright.tasks.base import Batch, Task
from archwright.training.config import TrainingConfig
from archwright.training.device import mixed_precision, place_batch, takes_channels_last, use_layout
from archwright.training.forms import form_of
from archwright.training.loop import fit
from archwright.training.threads import Pace, Step

GLANCE_S = 0.5
"""Of either glance; new memory and the first passes through each network cost much more."""

FIRST_STEPS = 3
"""Of a training to be timed, that warm up."""

LONG_S = 5.0
"""Seconds of warm-up, after which the extra cost of a first step does not matter."""

MAX_MEASURED = 64
"""Largest batch of a measured step."""

MAX_SCORED, MAX_SCORED_VALUES = 256, 4_000_000
"""Largest batch of a measured pass without gradients: examples, and numbers in its inputs."""


@dataclass(frozen=True)
class Timed:
    """A piece of work to be timed, by number, and the examples in it."""

    step: Step
    n_examples: int

    def glance(self) -> float:
        """Seconds an example, after as long a time that warms up, unless a single step is long."""
        pace = Pace()
        pace.run(self.step, seconds=GLANCE_S)
        if pace.total_s < LONG_S:
            pace = Pace()
            pace.run(self.step, seconds=GLANCE_S)
        return pace.step_s / self.n_examples


def training_step(network: Callable[[int], nn.Module], task: Task, device: torch.device, batch_size: int) -> Timed:
    """A step to be timed, without the optimizer: forward and backward of an example batch, as a training does them.

    Args:
        network: The one of the i-th step, on the device.
        task: Whose inputs and loss.
        device: Where.
        batch_size: Examples a step, of which so many are taken at most.
    """
    n = min(batch_size, MAX_MEASURED)
    example = task.example(n)

    @functools.cache
    def prepared(network: nn.Module) -> tuple[torch.dtype, Batch]:
        form = form_of(network, "auto", True, device)
        use_layout(network, form.channels_last)
        return form.dtype, place_batch(example, device, form.channels_last)

    def step(i: int) -> None:
        trained = network(i).train()
        dtype, batch = prepared(trained)
        with mixed_precision(device, dtype):
            loss = task.loss(call(trained, batch.inputs), batch)
        torch.autograd.backward(loss)

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
    example = task.example(n)

    @functools.cache
    def prepared(network: nn.Module) -> Batch:
        return place_batch(example, device, takes_channels_last(network))

    def step(i: int) -> None:
        scored = network(i).eval()
        with torch.inference_mode():
            call(scored, prepared(scored).inputs)

    return Timed(step, n)


def fit_step_s(network: nn.Module, task: Task, config: TrainingConfig, device: torch.device) -> float:
    """Seconds of a step of a training as it will be, from data to optimizer; some steps are done for it.

    Args:
        network: Is trained for a second or so.
        task: Data and loss.
        config: Of the training.
        device: Where.
    """

    def seconds(n_steps: int) -> float:
        short = replace(config, steps=n_steps, epochs=None, warmup_steps=0, average_from=None)
        return fit(network, task, short, part="train", seed=0, device=device).seconds / n_steps

    first = seconds(FIRST_STEPS)
    return first if first > LONG_S else seconds(max(FIRST_STEPS, int(2 * GLANCE_S / first)))
