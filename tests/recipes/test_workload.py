"""Times of a workload at a pace, and the step they are measured by."""

from __future__ import annotations

import time

import numpy as np
import torch

from archwright.recipes.workload import Load, Workload, training_step
from archwright.spaces.lenet import LeNet
from archwright.testing import toy_task
from archwright.training.networks import build_seeded
from archwright.training.threads import Pace

CPU = torch.device("cpu")
PARTS = {"supernet": Load(64_000), "search": Load(1600, 6400)}
PACE = Pace(10, 1.0, 0.25)
"""0.1 s a step of 64 images, a quarter of it forward: 100 s for the supernet, 2.5 s and 2.5 s for the search."""


def workload(**changes: object) -> Workload:
    given = {"step": lambda i: 0.1, "batch_size": 64, "n_networks": 4, "parts": PARTS, "threads": 2, "device": CPU}
    return Workload(**{**given, **changes})  # type: ignore[arg-type]


def test_time_is_that_of_images() -> None:
    """Trained ones take a step's time, others that of its forward pass."""
    assert workload().seconds(PACE) == 105.0


def test_lines_name_each_part() -> None:
    """The whole first, with the threads; what is not known last."""
    assert workload(notes=["a table"]).lines(PACE, 1) == [
        "estimated time 2 min on 1 thread of cpu",
        "      2 min  supernet",
        "        5 s  search",
        "    unknown  a table",
    ]


def test_one_part_is_one_line() -> None:
    """As `archwright train` says it."""
    assert workload(parts={"8 steps": Load(640)}).lines(PACE) == ["estimated time 1 s on 2 threads of cpu: 8 steps"]


def test_glance_warms_up_and_sees_each_network_once() -> None:
    """Steps 0 to 3 twice, of which the second round counts; slow steps are fewer (a second each round)."""
    seen: list[int] = []
    pace = workload(step=lambda i: seen.append(i) or 0.1).glance()
    assert (seen, pace.n_steps) == ([0, 1, 2, 3] * 2, 4)


def test_training_step_goes_through_the_network_it_is_given() -> None:
    """Forward and backward of the i-th; the others stay as they are."""
    space, task = LeNet(), toy_task(LeNet())
    networks = [build_seeded(space, arch, 0) for arch in space.sample(2, np.random.default_rng(0))]
    step = training_step(lambda i: networks[i % 2], task, CPU, 8)
    started = time.perf_counter()
    forward_s = step(3)
    assert 0 < forward_s < time.perf_counter() - started
    has_gradients = [[parameter.grad is not None for parameter in network.parameters()] for network in networks]
    assert (any(has_gradients[0]), all(has_gradients[1])) == (False, True)
