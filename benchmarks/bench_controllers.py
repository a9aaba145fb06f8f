"""Controllers: how fast they learn a toy reward, a sample, ENAS's step, and policy gradients on NAS-Bench-201.

usage: bench_controllers.py [TABLE]     (TABLE: nb201.csv.gz; without it that part is left out)

A toy reward is the share of decisions that have their first value; told is the first of the updates (batches of 20)
from which the mean of twenty batches is at least nine tenths. Logits have no bound there (with ENAS's the largest
probability of one of six values would be 0.8). Steps of shared weights are beside the same steps of the
stand-alone network in the supernet's form, in turn.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from archwright.core.objective import Goal, Objective
from archwright.core.trial import Trial
from archwright.spaces import EnasMacro, EnasMicro, NasNet, NasRl, Space
from archwright.spaces.opening import open_space
from archwright.strategies.reinforce import Reinforce, ReinforceConfig, open_policy
from archwright.tabular.bench import compare
from archwright.tabular.published import nasbench201
from archwright.tabular.tables import read_table
from bench_step import measure
from common import machine, report, seconds

CONTROLLERS: dict[str, tuple[Space, ReinforceConfig]] = {
    "nas-rl": (NasRl(layers=6), ReinforceConfig(policy="anchors", layers=2, hidden=35, learning_rate=0.005)),
    "nas-rl-rnn": (open_space("nas-rl-rnn"), ReinforceConfig(layers=2, hidden=35, learning_rate=0.003)),
    "nasnet": (NasNet(), ReinforceConfig(update="ppo", ppo_epochs=4, learning_rate=0.001)),
    "mnasnet": (open_space("mnasnet"), ReinforceConfig(update="ppo", ppo_epochs=4, learning_rate=0.001)),
    "enas-macro": (EnasMacro(), ReinforceConfig(policy="anchors", hidden=64, learning_rate=0.003)),
    "enas-micro": (EnasMicro(), ReinforceConfig(hidden=64, learning_rate=0.003)),
    "enas-rnn": (open_space("enas-rnn"), ReinforceConfig(learning_rate=0.003)),
}
MOST_UPDATES, WINDOW, REACHED = 300, 20, 0.9


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    for name, (space, config) in CONTROLLERS.items():
        n, taken = learnt(space, config)
        report(f"{name}: updates to 0.9 of a toy reward", f"{n or 'not'} ({taken:.0f} s)", f"within {MOST_UPDATES}")
    for name in ("enas-macro", "enas-micro"):
        space, config = CONTROLLERS[name]
        policy = open_policy(space, config, 0)
        each = np.median(seconds(lambda policy=policy: policy.draw(1, np.random.default_rng(0)), 30))
        report(f"{name}: a sample of the controller", f"{1e3 * each:.1f} ms")
        measure(type(space)(layers=6).search_form() if name == "enas-macro" else space.search_form(), 64, 1.03)
    if len(sys.argv) > 1:
        tabular(sys.argv[1])


def learnt(space: Space, config: ReinforceConfig) -> tuple[int | None, float]:
    first = {decision.name: decision.values[0] for decision in space.decisions}
    strategy = Reinforce(space, config, seed=0)
    strategy.bind(Objective((Goal("score"),)), lambda rows: np.ones(len(rows), bool))
    started, means = time.perf_counter(), list[float]()
    for update in range(1, MOST_UPDATES + 1):
        asked = strategy.ask(config.children)
        scores = []
        for candidate in asked:
            active = [name for name in candidate.arch if name in first]
            scores.append(sum(candidate.arch[name] == first[name] for name in active) / len(active))
        strategy.tell([Trial(c, metrics={"score": s}) for c, s in zip(asked, scores, strict=True)])
        means.append(float(np.mean(scores)))
        if update >= WINDOW and np.mean(means[-WINDOW:]) >= REACHED:
            return update, time.perf_counter() - started
    return None, time.perf_counter() - started


def tabular(table: str) -> None:
    settings = {"children": "10", "learning_rate": "0.02"}
    found = compare(
        nasbench201(read_table(table)),
        ["reinforce", "regularized-evolution"],
        n_evals=300,
        n_seeds=200,
        settings={
            "reinforce": {**settings, "policy": "categorical", "learning_rate": "0.1"},
            "regularized-evolution": {"population": "50", "sample": "10", "identity_probability": "0"},
        },
    )
    for name in found.curves:
        means = ", ".join(f"{np.nanmean(found.at(name, n)):.3f}" for n in (50, 100, 150, 200, 300))
        report(f"NAS-Bench-201, CIFAR-10, {name}: mean at 50, 100, 150, 200, 300 evaluations", means)


if __name__ == "__main__":
    main()
