"""What every benchmark script shares: the machine, repeated timing, ratios with their uncertainty."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2

SEARCH_STEPS, FINAL_STEPS = 4_000, 2_500
"""The one budget of the comparison of recipes, in optimizer steps of 64 images: on the reference machine (AMD EPYC, two
cores, two threads) about 150 s of search and 90 s of final training of networks of 8 M multiply-accumulates."""

RECIPES: dict[str, tuple[str, ...]] = {
    "random": ("training.steps=200", "n_trials=20"),
    "regularized-evolution": (
        "training.steps=200",
        "evolution.population=6",
        "evolution.sample=3",
        "evolution.cycles=20",
    ),
    "nsga2": ("training.steps=200", "nsga2.population=5", "nsga2.generations=3", "goals=macs"),
    "predictor": ("training.steps=200", "n_trials=20", "predictor.start=7"),
    "asha": ("training.steps=450", "halving.budgets=50,150,450", "halving.n_trials=41"),
    "lamarckian": (
        "training.steps=200",
        "evolution.population=6",
        "evolution.sample=3",
        "evolution.cycles=62",
        "child_steps=50",
    ),
}
"""How each recipe spends the steps of a search: 20 trainings of 200 steps, or what else is as long."""


def machine(threads: int = THREADS) -> str:
    """One line on what the figures were measured on."""
    import torch

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{model}, {os.cpu_count()} cores, {threads} threads; {versions}; load {load:.2f}"


def seconds(run: Callable[[], object], repeats: int, warmup: int = 1) -> list[float]:
    """Wall time of each repeat."""
    for _ in range(warmup):
        run()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return found


def command_seconds(command: Sequence[str], repeats: int) -> list[float]:
    """Wall time of a whole process, each repeat."""

    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return seconds(run, repeats)


def interleaved(runs: Sequence[Callable[[], object]], blocks: int) -> list[list[float]]:
    """Wall times of several runs taken in turn, in an order that changes from block to block."""
    rng = np.random.default_rng(0)
    found: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(blocks):
        for i in rng.permutation(len(runs)):
            started = time.perf_counter()
            runs[i]()
            found[i].append(time.perf_counter() - started)
    return found


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, float, float]:
    """Median of the paired ratios with its 95 % bootstrap interval."""
    pairs = np.asarray(numerators) / np.asarray(denominators)
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(pairs, size=(10_000, len(pairs))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(pairs)), float(low), float(high)


def mean_interval(values: Sequence[float]) -> str:
    """Mean with its 95 % t interval."""
    from scipy.stats import t

    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.4f}"
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} ({mean - half:.4f} to {mean + half:.4f})"


def report(name: str, figure: str, target: str = "") -> None:
    """One line of the table."""
    print(f"| {name} | {figure} | {target} |", flush=True)


def archwright(*arguments: str) -> list[str]:
    """The command line of this environment."""
    return [sys.executable, "-m", "archwright", *arguments]


def data_folder() -> Path | None:
    """Where benchmark data lie, from ARCHWRIGHT_DATA; None where it is not set."""
    folder = os.environ.get("ARCHWRIGHT_DATA")
    return Path(folder) if folder else None


def stepper(
    network: Any,
    images: Any,
    targets: Any,
    steps: int = 1,
    forward: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Callable[[], None]:
    """A piece of work to be timed: so many training steps of a classifier by SGD.

    Args:
        network: The classifier, in training mode.
        images: The batch.
        targets: Its classes.
        steps: At each call.
        forward: Context of the forward pass, e.g. mixed precision.
    """
    import torch

    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)

    def run() -> None:
        for _ in range(steps):
            with forward():
                loss = torch.nn.functional.cross_entropy(network(images), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run
