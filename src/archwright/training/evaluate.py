"""Metrics of a network on a part of the data."""

from __future__ import annotations

import torch
from torch import nn

from archwright.nn.carrying import Stream
from archwright.nn.modes import eval_mode
from archwright.tasks.base import Meter, Part, Task
from archwright.training.config import TrainingConfig
from archwright.training.device import place_batch, takes_channels_last


def evaluate(
    network: nn.Module,
    task: Task,
    part: Part,
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    channels_last: bool = True,
    meter: Meter | None = None,
) -> dict[str, float]:
    """The task's metrics over every example of a part, in evaluation mode and without gradients.

    Args:
        network: A network on `device`; its weights, statistics and modes stay as they are.
        task: Where examples and metrics come from.
        part: Which examples; asking for "test" is counted by the task.
        batch_size: Examples a forward pass; metrics do not depend on it beyond rounding.
        device: Where the network is.
        channels_last: Layout of the images, where the network takes it.
        meter: What sums the metrics up; the task's own by default.
    """
    device, meter = torch.device(device), meter or task.meter()
    channels_last = channels_last and takes_channels_last(network)
    split, stream = task.split(part), Stream(network)
    with eval_mode(network.modules()), torch.inference_mode():
        for stored in split.ordered(batch_size):
            batch = place_batch(stored, device, channels_last)
            with stream.batch(goes_on=split.is_stream):
                meter.measure(network, batch)
    return meter.result()


def validated(network: nn.Module, task: Task, training: TrainingConfig, device: torch.device) -> dict[str, float]:
    """What a search sees of a network that was trained on the training part: its metrics on the validation part.

    Args:
        network: A network on `device`.
        task: Where examples and metrics come from.
        training: How it was trained; it is scored in the same layout.
        device: Where it is.
    """
    meter = task.search_meter()
    return evaluate(network, task, "validation", device=device, channels_last=training.channels_last, meter=meter)
