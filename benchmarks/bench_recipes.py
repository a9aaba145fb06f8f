"""The one comparison of recipes: each searches for as many steps, the winner is trained for as many, and tested once.

usage: bench_recipes.py IMAGES [RECIPE ...] [--seeds N]     (IMAGES: an npz of CIFAR-10, 20,000 images to train on)

Space conv-chain, at most 8 M multiply-accumulates. Budgets stand in common.py. Random search is one of the recipes; the
plain network that a user would have written is built for the same limit and trained as the winners are. Nothing else
is trained beside a search here, unlike in `archwright search`. The test part is read once a winner.

What was measured is kept in results/recipes.json; the script executes what is not there yet and reports all of it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from archwright.core.config import with_settings
from archwright.costs.counted import Macs, Params
from archwright.finish.plain import n_within, open_plain
from archwright.recipes.base import open_search
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import default_threads, usual_training
from archwright.recipes.recipe import known_recipe
from archwright.runs.run import open_run
from archwright.spaces.base import Space
from archwright.tasks import open_task
from archwright.tasks.base import Task
from archwright.training.evaluate import evaluate
from archwright.training.networks import train_network
from common import FINAL_STEPS, RECIPES, machine, mean_interval, report

KEPT = Path(__file__).parent / "results" / "recipes.json"
LIMIT = 8e6
FINAL = usual_training(steps=FINAL_STEPS, batch_size=64)


def main() -> None:
    arguments = sys.argv[1:]
    seeds = int(arguments.pop(arguments.index("--seeds") + 1)) if "--seeds" in arguments else 3
    data, *names = [argument for argument in arguments if argument != "--seeds"]
    torch.set_num_threads(default_threads())
    print(machine(torch.get_num_threads()))
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for seed in range(seeds):
        for name in names or ["plain", *RECIPES]:
            key = f"{name}/{seed}"
            if key not in kept:
                kept[key] = measured(name, seed, data)
                KEPT.parent.mkdir(exist_ok=True)
                KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    tell(kept)


def measured(name: str, seed: int, data: str) -> dict[str, Any]:
    task = open_task(f"npz:{data}")
    return plain(task, seed) if name == "plain" else searched(name, seed, task)


def searched(name: str, seed: int, task: Task) -> dict[str, Any]:
    recipe = known_recipe(name)
    settings = dict(text.split("=", 1) for text in RECIPES[name])
    config = recipe.config.preset("quick", task.input_shape)
    config = replace(config, space="conv-chain", limits=(("macs", LIMIT),), seed=seed, threads=torch.get_num_threads())
    opened = open_search(with_settings(config, settings), task)
    started, processor = time.perf_counter(), time.process_time()
    with open_run(None, {}, seed=seed, threads=opened.config.threads) as run:
        (found,) = recipe.body(OpenSearch(run, opened), opened.config).searches
    spent = {"search_s": time.perf_counter() - started, "search_cpu_s": time.process_time() - processor}
    spent["search_steps"] = found.n_steps
    return {**spent, "n_trials": len(found.trials), **finished(opened.space, found.best.arch, task, seed)}


def plain(task: Task, seed: int) -> dict[str, Any]:
    space = open_plain(task)
    assert isinstance(space, Space)
    widest = space.decisions.enumerate_rows()[n_within(space, {"macs": LIMIT}, {}) - 1]
    return {"search_s": 0.0, "search_cpu_s": 0.0, **finished(space, space.decisions.arch(widest), task, seed)}


def finished(space: Space, arch: Any, task: Task, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    network, _ = train_network(space, arch, task, FINAL, part="train+validation", seed=seed, device=torch.device("cpu"))
    rows = space.row(arch)[None]
    return {
        "code": space.code(arch),
        "test": evaluate(network, task, "test")["top1_accuracy"],
        "params": float(Params().cost_rows(space, rows)[0]),
        "macs": float(Macs().cost_rows(space, rows)[0]),
        "final_s": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
    }


def tell(kept: Mapping[str, Mapping[str, float]]) -> None:
    for name in dict.fromkeys(key.split("/")[0] for key in kept):
        runs = [run for key, run in kept.items() if key.split("/")[0] == name]

        def each(figure: str, runs: list[Mapping[str, float]] = runs) -> list[float]:
            return [run[figure] for run in runs]

        said = (
            f"{mean_interval(each('test'))}; {sum(each('params')) / len(runs) / 1e3:.0f} k; "
            f"{sum(each('macs')) / len(runs) / 1e6:.2f} M; {sum(each('search_cpu_s')) / len(runs) / 3600:.3f} h; "
            f"{max(each('peak_mb')):.0f} MB"
        )
        report(f"{name}, {len(runs)} seeds: test; parameters; multiply-accumulates; CPU of search; peak memory", said)


if __name__ == "__main__":
    main()
