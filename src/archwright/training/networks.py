"""Networks of a space: built with weights that follow a seed, and trained."""

from __future__ import annotations

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.trial import derive_seed
from archwright.runs.phase import Phase
from archwright.spaces.base import Space
from archwright.tasks.base import Part, Task
from archwright.training.config import TrainingConfig
from archwright.training.log import TrainingLog
from archwright.training.loop import fit


def build_seeded(space: Space, arch: Arch | None, seed: int, *, for_training: bool = False) -> nn.Module:
    """A network with initial weights that depend on the seed alone; the supernet where the arch is None.

    Args:
        space: Its space.
        arch: Of the network.
        seed: See above.
        for_training: With what only its training needs (see `Space.build_for_training`).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initial weights"))
        if arch is None:
            return space.supernet()
        return space.build_for_training(arch) if for_training else space.build(arch)


def train_network(
    space: Space,
    arch: Arch,
    task: Task,
    training: TrainingConfig,
    *,
    part: Part,
    seed: int,
    device: torch.device,
    phase: Phase | None = None,
) -> tuple[nn.Module, TrainingLog]:
    """The stand-alone network of an arch, trained from fresh weights; weights, batches and dropout follow the seed."""
    network = build_seeded(space, arch, seed, for_training=True)
    log = fit(network, task, training, part=part, seed=seed, device=device, phase=phase)
    return network, log
