"""A recipe's body gone through without its work: what it would do, and how long that will take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from archwright.core.objective import Objective
from archwright.evaluators.base import Evaluator, Work
from archwright.finish import Found
from archwright.nn.inputs import call
from archwright.policies.base import Policy
from archwright.recipes.base import Opened
from archwright.recipes.limited_costs import n_unmeasured
from archwright.recipes.opened import OpenSearch, n_trials
from archwright.recipes.presets import duration
from archwright.runs.run import open_run
from archwright.search import SearchResult
from archwright.strategies.base import Strategy
from archwright.strategies.random import Random
from archwright.tasks.base import Task
from archwright.training.device import place_batch, use_layout
from archwright.training.networks import build_seeded
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.shared import SharedWeights

N_MEASURED = 4
MAX_MEASURED_BATCH = 64


@dataclass(frozen=True)
class Item:
    """One line of an estimate.

    Attributes:
        what: In words.
        work: What it takes each time.
        times: How often.
    """

    what: str
    work: Work
    times: int = 1


class Rehearsal(OpenSearch):
    """Notes what a body asks for and does nothing of it; each of its searches ends with one unscored architecture.

    Args:
        opened: What would be searched.

    Attributes:
        items: What was asked for, in order.
        shared: The shared weights that the body works with, if it made some.
    """

    def __init__(self, opened: Opened) -> None:
        config = opened.config
        super().__init__(open_run(None, {}, seed=config.seed, threads=config.threads), opened)
        self.items: list[Item] = []
        self.shared: SharedWeights | None = None

    def supernet(self) -> SharedWeights:
        self.shared = super().supernet()
        return self.shared

    def train(self, phase: str, sharing: WeightSharing, shared: SharedWeights, policy: Callable[[], Policy]) -> None:
        n_steps = sharing.n_steps(self.task)
        self.n_steps += n_steps
        self.items.append(
            Item(f"{phase}, {n_steps:,} steps of {sharing.batch_size}", Work(n_steps, sharing.batch_size))
        )

    def _search(self, name: str, objective: Objective, strategy: Strategy, evaluator: Evaluator) -> SearchResult:
        n, work = n_trials(self.opened, objective, strategy), evaluator.work()
        is_random = isinstance(strategy, Random)
        what = f"{name}, {n:,} evaluations" if is_random else f"{name} and baseline, {n:,} evaluations each"
        if work.n_steps:
            what += f", {work.n_steps:,} steps of {work.batch_size}"
        self.items.append(Item(what, work, n if is_random else 2 * n))
        return self.unscored(objective, evaluator)


def rehearse(rehearsal: Rehearsal, found: Found) -> list[Item]:
    """All that a run will do: what the body asked for, and what follows it.

    Args:
        rehearsal: Went through the body.
        found: What the body came to in it.
    """
    config, task = rehearsal.opened.config, rehearsal.task
    items, retrain = list(rehearsal.items), config.retrain
    n_retrain = retrain.n_steps(task.split("train+validation").n)
    unscored = sum(not search.is_scored for search in found.searches)
    if unscored:
        n_steps = retrain.n_steps(task.split("train").n)
        n = max(1, found.n_steps // n_steps)
        work = Work(n_steps, retrain.batch_size, task.split("validation").n)
        items.append(Item(f"baseline, {n:,} networks of {n_steps:,} steps", work, unscored * n))
    if config.final != "inherited":
        n_networks = len(found.searches) * (config.n_draws + (1 if found.is_random else 2))
        what = f"retraining, {n_networks} networks of {n_retrain:,} steps"
        items.append(Item(what, Work(n_retrain, retrain.batch_size), n_networks))
    return items


def estimate_lines(rehearsal: Rehearsal, found: Found) -> list[str]:
    """The estimated time in all, then that of each part.

    Args:
        rehearsal: Went through the body.
        found: What the body came to in it.
    """
    items, opened = rehearse(rehearsal, found), rehearsal.opened
    step_s, forward_s = measure(rehearsal, min(max(item.work.batch_size for item in items) or 1, MAX_MEASURED_BATCH))
    seconds = [item.times * (item.work.n_trained * step_s + item.work.n_scored * forward_s) for item in items]
    lines = [f"  {duration(each):>9}  {item.what}" for each, item in zip(seconds, items, strict=True)]
    if n_unmeasured(opened.costs):
        lines.append(f"  {'unknown':>9}  measuring a latency table first, unless --set latency_table=FILE gives one")
    total, threads = duration(sum(seconds)), opened.config.threads
    return [f"estimated time {total} on {threads} thread{'s' * (threads != 1)} of {opened.device.type}", *lines]


def measure(rehearsal: Rehearsal, batch_size: int) -> tuple[float, float]:
    """Seconds an image of a training step and of a forward pass, for random architectures.

    Paths of the supernet where the body made one, else stand-alone networks.

    Args:
        rehearsal: Went through the body.
        batch_size: Images a step.
    """
    space, device, rng = rehearsal.space, rehearsal.device, np.random.default_rng(0)
    shared = rehearsal.shared
    if shared is None:
        built = [build_seeded(space, arch, 0).to(device) for arch in space.sample(N_MEASURED, rng)]
        for network in built:
            use_layout(network, True)
        return image_seconds(lambda: iter(built), rehearsal.task, device, batch_size)
    use_layout(shared.network.to(device), True)
    rows = space.decisions.sample(N_MEASURED, rng)

    def paths() -> Iterator[nn.Module]:
        for row in rows:
            shared.activate(row)
            yield shared.network

    return image_seconds(paths, rehearsal.task, device, batch_size)


def image_seconds(
    networks: Callable[[], Iterator[nn.Module]], task: Task, device: torch.device, batch_size: int
) -> tuple[float, float]:
    """Seconds an image of a training step and of a forward pass, means over networks; a first round warms up.

    Args:
        networks: Gives them one after the other, on the device, in channels-last layout, each ready to run.
        task: Whose inputs and loss.
        device: Where.
        batch_size: Images a step.
    """
    batch = place_batch(task.example(batch_size), device, True)
    for _ in range(2):
        steps, forwards = [], []
        for network in networks():
            started = time.perf_counter()
            loss = task.loss(call(network, batch.inputs), batch)
            forwards.append(time.perf_counter() - started)
            torch.autograd.backward(loss)
            steps.append(time.perf_counter() - started)
    return float(np.mean(steps)) / batch_size, float(np.mean(forwards)) / batch_size
