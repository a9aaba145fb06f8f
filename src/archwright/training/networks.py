"""Networks of a space: built with weights that follow a seed, and trained."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.arch import Arch
from archwright.core.errors import SpaceError
from archwright.core.trial import derive_seed
from archwright.nn.training_only import training_only_names
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
    """The stand-alone network of an arch, trained from fresh weights, and the log of the training.

    Args:
        space: The space of stand-alone networks.
        arch: A member of it.
        task: Data and loss.
        training: How to train.
        part: Part of the data to train on.
        seed: Of initial weights, batches and dropout.
        device: Device to train on.
        phase: Keeps checkpoints; a phase that has begun is continued from the last one.

    Raises:
        DivergedError: If the loss is infinite or not a number.
    """
    network = build_seeded(space, arch, seed, for_training=True)
    log = fit(network, task, training, part=part, seed=seed, device=device, phase=phase)
    return network, log


@torch.no_grad()
def inherit(network: nn.Module, trained: nn.Module) -> None:
    """Give a network the weights of a trained one of the same arch, in place.

    A supernet's form may lack what the stand-alone network has: batch norms without scale and shift. Those are set to
    1 and 0, so that the network computes what the trained one does.

    Args:
        network: Takes the weights.
        trained: Has them, under the same names.

    Raises:
        SpaceError: If a tensor has no place in the network, or one that is no batch norm's is missing.
    """
    given, own = trained.state_dict(), network.state_dict()
    norms = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    optional = {f"{name}.{leaf}".lstrip(".") for name in norms for leaf in ("weight", "bias")}
    training_only = training_only_names(network)
    odd = [name for name in given if name not in own or own[name].shape != given[name].shape]
    odd += [name for name in own if name not in given and name not in optional | training_only]
    if odd:
        raise SpaceError(
            f"the trained network has other weights than the one that inherits them: {', '.join(sorted(odd)[:3])}"
        )
    for name, tensor in own.items():
        if name in given:
            tensor.copy_(given[name])
        elif name in optional:
            tensor.fill_(float(name.endswith("weight")))
