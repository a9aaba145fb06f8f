"""Times of a workload at a pace, and the step they are measured by."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from archwright.recipes.workload import Item, Load, Speed, Workload
from archwright.spaces.lenet import LeNet
from archwright.tasks.base import Batch, Task
from archwright.testing import toy_task
from archwright.training import timing
from archwright.training.config import TrainingConfig
from archwright.training.networks import build_seeded
from archwright.training.threads import Pace
from archwright.training.timing import Timed, fit_step_s, scoring_pass, training_step

CPU = torch.device("cpu")
PARTS = [Item("supernet", Load(64_000)), Item("search", Load(1600, 6400))]
SPEED = Speed(0.1 / 64, 0.025 / 64)
"""0.1 s a step of 64 images, a quarter of it a pass of them: 100 s for the supernet, 2.5 s and 2.5 s for the search."""


def timed(step: Callable[[int], object] = lambda i: None, n: int = 64) -> Timed:
    return Timed(step, n)


def workload(**changes: Any) -> Workload:
    given = {"training": timed(), "scoring": timed(), "parts": PARTS, "threads": 2, "device": CPU}
    return Workload(**{**given, **changes})


def test_time_is_that_of_examples() -> None:
    """Trained ones take a step's time, others that of a pass."""
    assert workload().seconds(SPEED) == pytest.approx(105.0)


def test_passes_keep_their_share_of_a_step() -> None:
    """With another number of threads a step takes 0.2 s: twice as long, and so everything."""
    assert workload().seconds(workload().at_pace(SPEED, Pace(5, 1.0))) == pytest.approx(210.0)


def test_lines_name_each_part() -> None:
    """The whole first, with the threads; what is not known last."""
    assert workload(notes=["a table"]).lines(SPEED, 1) == [
        "estimated time 2 min on 1 thread of cpu",
        "      2 min  supernet",
        "        5 s  search",
        "    unknown  a table",
    ]


def test_one_part_is_one_line() -> None:
    """As `archwright train` says it."""
    assert workload(parts=[Item("8 steps", Load(640))]).lines(SPEED) == [
        "estimated time 1 s on 2 threads of cpu: 8 steps"
    ]


def test_glance_counts_the_second_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is to warm up: its steps of 50 ms leave no trace in a speed of 5 ms for 10 examples."""
    monkeypatch.setattr(timing, "GLANCE_S", 0.2)
    begun = time.perf_counter()

    def step(i: int) -> None:
        time.sleep(0.05 if time.perf_counter() - begun < 0.2 else 0.005)

    assert workload(training=timed(step, 10), parts=[Item("", Load(1))]).glance().trained_s == pytest.approx(
        0.0005, rel=0.5
    )


def test_only_what_is_done_is_timed() -> None:
    """Without candidates that are scored, no pass is."""
    seen: list[int] = []
    assert workload(scoring=timed(seen.append), parts=[Item("", Load(1))]).glance().passed_s == 0.0
    assert not seen


def test_training_step_goes_through_the_network_it_is_given() -> None:
    """Forward and backward of the i-th; the others stay as they are."""
    space, task = LeNet(), toy_task(LeNet())
    networks = [build_seeded(space, arch, 0) for arch in space.sample(2, np.random.default_rng(0))]
    training = training_step(lambda i: networks[i % 2], task, CPU, 8)
    training.step(3)
    has_gradients = [[parameter.grad is not None for parameter in network.parameters()] for network in networks]
    assert (training.n_examples, any(has_gradients[0]), all(has_gradients[1])) == (8, False, True)


def test_a_step_of_a_training_is_timed_as_it_will_be() -> None:
    """Some steps of the training itself, in a second or two: well below a second each for a small network."""
    space = LeNet()
    task = toy_task(space)
    network = build_seeded(space, space.sample(1, np.random.default_rng(0))[0], 0)
    before = [parameter.clone() for parameter in network.parameters()]
    assert 0 < fit_step_s(network, task, TrainingConfig(steps=1000, batch_size=8, learning_rate=0.01), CPU) < 0.5
    assert not all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_scoring_pass_takes_large_batches_of_small_inputs() -> None:
    """At most 256 examples, at most 4 million numbers: 26 pictures of 224 pixels; no gradients."""
    space = LeNet()
    network = build_seeded(space, space.sample(1, np.random.default_rng(0))[0], 0)
    small, large = toy_task(space), SimpleNamespace(example=lambda n: Batch(torch.empty(n, 3, 224, 224), None))
    scoring = scoring_pass(lambda i: network, small, CPU)
    scoring.step(0)
    assert (scoring.n_examples, network.training) == (256, False)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert scoring_pass(lambda i: network, cast(Task, large), CPU).n_examples == 26
