"""A toy task, and a plain way of scoring on a supernet, for the tests of evaluators."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, derive_seed
from archwright.evaluators import CalibrationConfig
from archwright.nn.choice import selection_of
from archwright.spaces import Space
from archwright.tasks import ImageTask
from archwright.testing import toy_task

CALIBRATION = CalibrationConfig(batches=2, batch_size=32)


def _scored_plainly(space: Space, supernet: nn.Module, task: ImageTask, arch: Arch, seed: int) -> tuple[float, float]:
    """Accuracy and loss by the shortest loop that can be written: nothing shared, nothing folded, one thread."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # some of these networks hardly vary, so that their norms blow up the last bits
    try:
        return _scored_alone(space, supernet, task, arch, seed)
    finally:
        torch.set_num_threads(n_threads)


def _scored_alone(space: Space, supernet: nn.Module, task: ImageTask, arch: Arch, seed: int) -> tuple[float, float]:
    network = copy.deepcopy(supernet)
    selection_of(network).activate(arch)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    batches = task.split("train").batches(
        CALIBRATION.batch_size, seed=derive_seed(seed, "calibration"), n_steps=CALIBRATION.batches
    )
    with torch.no_grad():
        for images, _ in batches:
            network(images)
        network.eval()
        images, labels = next(task.split("validation").ordered(10_000))
        logits = network(images)
    right = (logits.argmax(dim=1) == labels).double().mean()
    return float(right), float(F.cross_entropy(logits, labels))


def _learnt_a_little(supernet: nn.Module, seed: int) -> nn.Module:
    """Weights far enough from the start for archs to differ, statistics far from what they should be."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in supernet.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return supernet


@pytest.fixture(scope="session")
def calibration() -> CalibrationConfig:
    return CALIBRATION


@pytest.fixture(scope="session")
def task_for() -> Callable[[Space], ImageTask]:
    """160 noisy images in classes of different brightness, of the shape a space takes."""
    return toy_task


@pytest.fixture(scope="session")
def scored_plainly() -> Callable[..., tuple[float, float]]:
    return _scored_plainly


@pytest.fixture(scope="session")
def supernet_of() -> Callable[[Space], nn.Module]:
    """A supernet with weights and statistics as if trained, the same at each call."""

    def build(space: Space) -> nn.Module:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return _learnt_a_little(space.supernet(), 1)

    return build


@pytest.fixture(scope="session")
def population() -> Callable[..., list[Candidate]]:
    """n candidates of a space, drawn uniformly; some agree in their first decisions."""

    def draw(space: Space, n: int) -> list[Candidate]:
        rows = space.decisions.sample(n, np.random.default_rng(5))
        rows[1::2] = space.decisions.sample(len(rows[1::2]), np.random.default_rng(6))
        return [Candidate(i, arch, i) for i, arch in enumerate(space.decisions.archs(rows))]

    return draw
