"""A toy task, toy networks and a phase in memory for the tests of training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.trial import derive_seed
from archwright.tasks.images.in_memory import ImageTask


class Killed(Exception):
    """Stands for the end of the process."""


class MemoryPhase:
    """A phase whose checkpoints go through JSON and contiguous copies, as on disk.

    Args:
        saves_at: Steps done after which a checkpoint is due.
        dies_at: Steps done after which the process ends, before any checkpoint of that step.
    """

    def __init__(self, saves_at: tuple[int, ...] = (), dies_at: int | None = None) -> None:
        self.saves_at, self.dies_at = saves_at, dies_at
        self.is_done, self.done, self.figures = False, 0, dict[str, float | str]()
        self.stored: tuple[dict[str, Tensor], str] | None = None

    @property
    def is_due(self) -> bool:
        return self.done in self.saves_at

    def restore(self) -> tuple[dict[str, Tensor], Any] | None:
        return None if self.stored is None else (dict(self.stored[0]), json.loads(self.stored[1]))

    def checkpoint(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        self.stored = copies, json.dumps(state, allow_nan=False)

    def finish(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        self.checkpoint(tensors, state)
        self.is_done = True

    def advance(self, done: int, **figures: float | str) -> None:
        self.done, self.figures = done, figures
        if done == self.dies_at:
            raise Killed


class TwoPaths(nn.Module):
    """A supernet in small: the middle is one of two paths, with batch norm, depth-wise convolution and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.paths = nn.ModuleList(_path(kernel) for kernel in (1, 3))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(8, 3)
        self.active = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.paths[self.active](self.stem(x)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(x))
        return logits


def _path(kernel: int) -> nn.Module:
    depthwise = nn.Conv2d(8, 8, kernel, padding=kernel // 2, groups=8, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))


def _switch(network: TwoPaths) -> Callable[[int], None]:
    def before_step(step: int) -> None:
        network.active = derive_seed("path", step) % 2

    return before_step


@pytest.fixture
def memory_phase() -> type[MemoryPhase]:
    return MemoryPhase


@pytest.fixture
def killed() -> type[Killed]:
    return Killed


@pytest.fixture
def two_paths() -> Callable[[int], TwoPaths]:
    """Build a `TwoPaths` from a seed."""

    def build(seed: int) -> TwoPaths:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return TwoPaths()

    return build


@pytest.fixture
def switch() -> Callable[[TwoPaths], Callable[[int], None]]:
    """A `before_step` that activates a path as a function of the step."""
    return _switch


@pytest.fixture(scope="session")
def toy() -> ImageTask:
    """90 noisy colour images of 10x10 pixels in three classes that differ in brightness, augmented."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> tuple[Any, Any]:
        labels = np.arange(n) % 3
        images = rng.integers(0, 120, (n, 3, 10, 10)) + 60 * labels[:, None, None, None]
        return images.astype(np.uint8), labels

    (x_train, y_train), (x_test, y_test) = draw(90), draw(30)
    return ImageTask("toy", x_train, y_train, x_test, y_test)
