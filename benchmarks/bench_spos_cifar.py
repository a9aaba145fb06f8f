"""All-same-choice, random and evolved architectures under one limit on CIFAR-10, with the `quick` preset.

usage: bench_spos_cifar.py IMAGES.npz      (20,000 training and 4,000 test images as `--data npz:PATH` reads them)

Every network of a seed is trained from scratch with the same configuration, seed and data; each meets the test part
once. The limit is the cost of the dearest all-same network, so that all of them keep it. Runs are kept under
runs/bench-spos-cifar and continued where they were stopped. Skips where the file is not given.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from archwright.core.arch import Arch
from archwright.core.trial import derive_seed
from archwright.costs.counted import Macs
from archwright.recipes.spos import SposConfig, spos
from archwright.runs.progress import make_progress
from archwright.spaces.spos.blocks import CANDIDATES, SposSpace
from archwright.tasks import open_task
from archwright.training.evaluate import evaluate
from archwright.training.networks import train_network
from common import machine, mean_interval, report

SEEDS = range(3)
Row = tuple[float, float]
"""Test accuracy, multiply-accumulates."""


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).exists():
        print("skipped: give an npz with CIFAR-10 images")
        return
    print(machine())
    found = [networks(seed, Path(sys.argv[1])) for seed in SEEDS]
    for name in found[0]:
        rows = [row for seed in found for row in seed[name]]
        macs = sorted({round(macs / 1e6, 2) for _, macs in rows})
        tests = ", ".join(f"{test:.4f}" for test, _ in rows)
        report(name, f"{mean_interval([test for test, _ in rows])}: {tests}; {macs[0]} to {macs[-1]} M")


def networks(seed: int, images: Path) -> dict[str, list[Row]]:
    """What each way to choose a network gives."""
    task = open_task(f"npz:{images}", seed=seed)
    space = SposSpace(input_shape=task.input_shape, n_classes=task.n_classes)
    same = {key: Arch(dict.fromkeys(space.decisions.names, key)) for key in CANDIDATES}
    macs = {key: float(Macs().cost_rows(space, space.row(arch)[None])[0]) for key, arch in same.items()}
    preset = SposConfig.preset("quick", task.input_shape)
    config = SposConfig(**{**vars(preset), "limits": (("macs", max(macs.values())),), "seed": seed})
    out = Path("runs/bench-spos-cifar") / str(seed)
    record = spos(config, task, out=out, resume=True, progress=make_progress(sys.stderr)).record
    baseline = record["random_baseline"]
    rows: dict[str, list[Row]] = {
        "evolved": [(record["test"], record["macs"])],
        "random search, equal budget": [(baseline["test"], baseline["macs"])],
        "random draws": [(draw["test"], draw["macs"]) for draw in baseline["draws"]],
    }
    seed_used, device = derive_seed(seed, "retrain"), torch.device("cpu")
    for key, arch in same.items():
        network, _ = train_network(
            space, arch, task, config.retrain, part="train+validation", seed=seed_used, device=device
        )
        rows[f"all {key}"] = [(evaluate(network, task, "test")[task.metric], macs[key])]
    return rows


if __name__ == "__main__":
    main()
