"""Searches by gradient on NAS-Bench-201 with real CIFAR-10 images: the true accuracy of what each derives.

usage: bench_gradient.py IMAGES TABLE [METHOD ...] [--seeds N] [--steps N]

IMAGES is an npz of CIFAR-10, TABLE is nb201.csv.gz. The supernet has 8 channels and one cell a stage. Every method
makes as many passes of 64 images (N; a step of second order is four), and what it derives is looked up: test accuracy
after 200 epochs, which no search sees. Beside them the mean of random cells, the best of as many random cells as the
passes would train for 200 steps each, and single-path training (SPOS). Of path dropout also Kendall's tau of 150 cells
by the shared weights, with the truth. What was measured is kept in results/gradient.json; the script executes what is
not there yet and reports all of it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archwright.core.correlation import kendall
from archwright.core.decisions import Rows
from archwright.core.trial import Candidate
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator
from archwright.policies import (
    BinaryGates,
    Categorical,
    DirichletWeights,
    GumbelSoftmax,
    PathDropout,
    SigmoidWeights,
    Temperature,
    Uniform,
)
from archwright.recipes.by_gradient import QUICK_ADAM, plain_sgd
from archwright.recipes.presets import default_threads
from archwright.spaces import NasBench201
from archwright.spaces.base import Space
from archwright.tabular.published import nasbench201
from archwright.tabular.tables import read_table
from archwright.tasks import open_task
from archwright.tasks.base import Task
from archwright.weight_sharing import AlphaConfig, ByGradient, DroppedPaths, SupernetWeights, UniformPath
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.collapse import skip_share
from common import machine, mean_interval, report

KEPT = Path(__file__).parent / "results" / "gradient.json"
N_RANKED, BATCH, SAMPLES = 150, 64, 10
RATES = (0.0, 0.01, 0.05, 0.2, 0.5)
ALPHA = AlphaConfig(QUICK_ADAM)
HEAT = Temperature(5.0, 0.1, "exponential")

METHODS: dict[str, tuple[Callable[[Space], Any], AlphaConfig]] = {
    "darts": (lambda space: Categorical(space, spread=1e-3), replace(ALPHA, order="second")),
    "darts-first-order": (lambda space: Categorical(space, spread=1e-3), ALPHA),
    "snas": (lambda space: GumbelSoftmax(space, temperature=Temperature(1.0, 0.03)), replace(ALPHA, level="single")),
    "fbnet": (lambda space: GumbelSoftmax(space, temperature=HEAT), replace(ALPHA, warmup=0.1, share=0.2)),
    "gdas": (lambda space: GumbelSoftmax(space, temperature=HEAT, hard=True), ALPHA),
    "proxylessnas": (
        lambda space: BinaryGates(space, spread=1e-3),
        replace(ALPHA, optimizer=replace(QUICK_ADAM, betas=(0.0, 0.999)), paths="path", warmup=0.25),
    ),
    "drnas": (DirichletWeights, ALPHA),
    "fairdarts": (SigmoidWeights, ALPHA),
}
DROPPED = {f"path-dropout {rate}": rate for rate in RATES}


def main() -> None:
    arguments = sys.argv[1:]
    options = {"--seeds": 3, "--steps": 2_000}
    for name in options:
        if name in arguments:
            at = arguments.index(name)
            options[name] = int(arguments[at + 1])
            del arguments[at : at + 2]
    images, table, *names = arguments
    torch.set_num_threads(default_threads())
    print(machine(torch.get_num_threads()))
    task = open_task(f"npz:{images}")
    benchmark = nasbench201(read_table(table))
    space = NasBench201(input_shape=(3, 32, 32), n_classes=10, channels=8, cells=1)
    truth = dict(zip(map(tuple, benchmark.places.rows.tolist()), benchmark.truth.tolist(), strict=True))
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for seed in range(options["--seeds"]):
        for name in names or [*METHODS, *(DROPPED if seed == 0 else ()), "spos"]:
            key = f"{name}/{options['--steps']}/{seed}"
            if key not in kept:
                kept[key] = measured(name, seed, options["--steps"], space, task, truth)
                KEPT.parent.mkdir(exist_ok=True)
                KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    every = np.array(list(truth.values()))
    report("random cells: mean, best of 10 in expectation", f"{every.mean():.2f}, {best_of(every, SAMPLES):.2f}")
    tell(kept)


def best_of(values: np.ndarray[Any, Any], n: int) -> float:
    """The expected largest of n draws."""
    rng = np.random.default_rng(0)
    return float(rng.choice(values, (4_000, n)).max(axis=1).mean())


def measured(
    name: str, seed: int, n_passes: int, space: Space, task: Task, truth: dict[tuple[int, ...], float]
) -> dict[str, Any]:
    shared = SupernetWeights.build(space, seed)
    started = time.perf_counter()
    if name in METHODS:
        make, alpha = METHODS[name]
        policy = make(space)
        sharing: WeightSharing = ByGradient(training(n_passes), alpha)
        n_steps = round(n_passes * sharing.n_steps(task) / sharing.n_passes(task))
        sharing = ByGradient(training(n_steps), alpha)
        log = sharing.fit(shared, policy, task, seed=seed)
        row = policy.best_row()
        return {
            "true": truth[tuple(row.tolist())],
            "code": space.code(space.decisions.arch(row)),
            "skips": skip_share(policy, row),
            "seconds": time.perf_counter() - started,
            "steps": log.steps,
        }
    sharing = UniformPath(training(n_passes))
    drawn: Any = Uniform(space)
    if name in DROPPED:
        sharing, drawn = DroppedPaths(training(n_passes)), PathDropout(space, DROPPED[name])
    sharing.fit(shared, drawn, task, seed=seed)
    rows = space.decisions.sample(N_RANKED, np.random.default_rng(1))
    scores = scored(shared, space, task, rows)
    true = [truth[tuple(row.tolist())] for row in rows]
    best = int(np.argmax(scores))
    policy = Categorical(space)
    return {
        "true": true[best],
        "code": space.code(space.decisions.arch(rows[best])),
        "skips": skip_share(policy, rows[best]),
        "seconds": time.perf_counter() - started,
        "kendall": kendall(scores, true),
    }


def training(n_steps: int) -> Any:
    return replace(plain_sgd(batch_size=BATCH), steps=max(1, n_steps), epochs=None, learning_rate=0.05)


def scored(shared: SupernetWeights, space: Space, task: Task, rows: Rows) -> list[float]:
    evaluator = SupernetEvaluator.of(shared, task, CalibrationConfig(batches=2, batch_size=256), seed=0)
    candidates = [Candidate(i, arch, 0) for i, arch in enumerate(space.decisions.archs(rows))]
    return [one[task.search_metric] for one in evaluator.evaluate(candidates)]


def tell(kept: dict[str, dict[str, Any]]) -> None:
    for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in kept):
        runs = [run for key, run in kept.items() if key.rsplit("/", 1)[0] == name]
        ranked = f"; Kendall {np.mean([run['kendall'] for run in runs]):.3f}" if "kendall" in runs[0] else ""
        each = ", ".join(f"{run['true']:.2f}" for run in runs)
        said = (
            f"{mean_interval([run['true'] for run in runs])} ({each}); "
            f"{np.mean([run['skips'] for run in runs]):.0%}; {np.mean([run['seconds'] for run in runs]):.0f} s{ranked}"
        )
        report(f"{name}, {len(runs)} seeds: true test accuracy; skips; time", said)


if __name__ == "__main__":
    main()
