"""All-same-choice, random and evolved architectures under one limit on CIFAR-10, with the `quick` preset.

usage: bench_spos_cifar.py IMAGES.npz      (20,000 training and 4,000 test images as `--data npz:PATH` reads them)

Every network is trained from scratch with the same configuration, seed and data; each meets the test part once. The
limit is the cost of the dearest all-same network, so that all of them keep it. Skips where the file is not given.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from archwright.core.arch import Arch
from archwright.core.trial import derive_seed
from archwright.costs.counted import Macs
from archwright.evaluators.from_scratch import train_network
from archwright.recipes.spos import SposConfig, spos
from archwright.runs.progress import make_progress
from archwright.spaces.spos import CANDIDATES, SposSpace
from archwright.tasks import open_task
from archwright.training.evaluate import evaluate
from common import machine, report

SEED = 0


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).exists():
        print("skipped: give an npz with CIFAR-10 images")
        return
    print(machine())
    task = open_task(f"npz:{sys.argv[1]}", seed=SEED)
    space = SposSpace(input_shape=task.input_shape, n_classes=task.n_classes)
    same = {key: Arch(dict.fromkeys(space.decisions.names, key)) for key in CANDIDATES}
    macs = {key: float(Macs().cost_rows(space, space.row(arch)[None])[0]) for key, arch in same.items()}
    limit = max(macs.values())
    preset = SposConfig.preset("quick", task.input_shape)
    config = SposConfig(**{**vars(preset), "limits": (("macs", limit),), "seed": SEED})
    result = spos(config, task, out="runs/bench-spos-cifar", resume=True, progress=make_progress(sys.stderr))
    record, baseline = result.record, result.record["random_baseline"]
    report("limit", f"{limit / 1e6:.2f} M multiply-accumulates")
    report("evolved", f"{record['test']:.4f}, {record['macs'] / 1e6:.2f} M")
    report("random search, equal budget", f"{baseline['test']:.4f}, {baseline['macs'] / 1e6:.2f} M")
    for draw in baseline["draws"]:
        report("random draw", f"{draw['test']:.4f}, {draw['macs'] / 1e6:.2f} M")
    seed, device = derive_seed(SEED, "retrain"), torch.device("cpu")
    for key, arch in same.items():
        network, _ = train_network(space, arch, task, config.retrain, part="train+validation", seed=seed, device=device)
        report(f"all {key}", f"{evaluate(network, task, 'test')[task.metric]:.4f}, {macs[key] / 1e6:.2f} M")


if __name__ == "__main__":
    main()
