"""The schedule of final trainings, chosen by images that no test uses.

usage: bench_schedule.py DATA [mnist] [cifar]     (DATA: as of bench_result.py)

Networks at most 8 M multiply-accumulates large, a plain chain and two drawn from conv-chain, are trained by the present
schedule and by ones that differ from it in one number. They are scored by training images that were set apart: of MNIST
5,000 train for 400 steps and 10,000 others score, of CIFAR-10 16,000 train for 2,000 steps and 4,000 others score.
Differences are to the present schedule, over the same networks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archwright.core.arch import Arch
from archwright.costs.counted import Macs
from archwright.recipes.presets import usual_training
from archwright.spaces.base import Space
from archwright.spaces.opening import open_space
from archwright.tasks import open_task
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.networks import train_network
from common import THREADS, machine, report

FOLDER, LIMIT = Path("runs/bench-schedule"), 8e6
CPU = torch.device("cpu")
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "SGD alone, warm-up of a quarter": {"optimizer": "sgd", "warmup_steps": 0.25},
    "AdamW 4e-3": {"optimizer": "adamw", "learning_rate": 4e-3, "weight_decay": 0.05, "nesterov": False},
    "warm-up of a quarter": {"warmup_steps": 0.25},
    "twice Muon's rate": {"muon_rate": 1.0},
    "two thirds of Muon's rate": {"muon_rate": 0.33},
    "twice all rates": {"learning_rate": 0.2},
    "no smoothing": {"label_smoothing": 0.0},
    "averaged weights (0.99)": {"ema_decay": 0.99},
    "batches of 128": {"batch_size": 128},
    "float32": {"precision": "float32"},
}


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    data, names = Path(sys.argv[1]), sys.argv[2:] or ["mnist", "cifar"]
    if "mnist" in names:
        with np.load(data / "mnist" / "mnist.npz") as whole:
            images, labels = whole["train_x"], whole["train_y"]
        compare("mnist", part(images, labels, 5_000, 10_000), 400, "crop")
    if "cifar" in names:
        with np.load(data / "images.npz") as whole:
            images, labels = whole["x_train"], whole["y_train"]
        compare("cifar", part(images, labels, 16_000, 4_000), 2_000, "crop,mirror")


def part(images: Any, labels: Any, n_trained: int, n_scored: int) -> dict[str, Any]:
    """Training images in two parts, the second in the place of test images."""
    chosen = np.random.default_rng(0).permutation(len(images))[: n_trained + n_scored]
    (x, x_scored), (y, y_scored) = (np.split(array[chosen], [n_trained]) for array in (images, labels))
    return {"x_train": x, "y_train": y, "x_test": x_scored, "y_test": y_scored}


def compare(name: str, arrays: dict[str, Any], steps: int, augment: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez(FOLDER / f"{name}.npz", **arrays)
    task = open_task(f"npz:{FOLDER / name}.npz", seed=0)
    present = replace(usual_training(steps=steps, batch_size=64), augment=augment)
    chosen = networks(task)
    reference = scores(task, chosen, present)
    report(f"{name}, {steps} steps: present", f"{reference.mean():.4f} ({shown(reference)})", "")
    for what, change in CHANGES.items():
        found = scores(task, chosen, changed(present, change))
        delta = found - reference
        report(f"{name}: {what}", f"{delta.mean():+.4f} ({shown(delta)})", "")


def changed(present: TrainingConfig, change: Mapping[str, Any]) -> TrainingConfig:
    """A share of warm-up is one of the steps; larger batches take as many examples, and a rate by the rule."""
    made, steps = dict(change), present.steps or 0
    if "warmup_steps" in made:
        made["warmup_steps"] = round(made["warmup_steps"] * steps)
    if "batch_size" in made:
        size = made["batch_size"]
        like = usual_training(steps=steps * present.batch_size // size, batch_size=size)
        return replace(like, augment=present.augment)
    return replace(present, **made)


def networks(task: Task) -> list[tuple[Space, Arch]]:
    """The widest plain chain within the limit, and two members of conv-chain close to it."""
    plain, chain = (open_space(name, **task.space_args()) for name in ("plain-chain", "conv-chain"))
    widths = plain.decisions.enumerate_rows()
    within = widths[Macs().cost_rows(plain, widths) <= LIMIT]
    rows = chain.decisions.sample(20_000, np.random.default_rng(0))
    macs = Macs().cost_rows(chain, rows)
    near = rows[(macs <= LIMIT) & (macs >= 0.85 * LIMIT)][:2]
    return [(plain, plain.decisions.arch(within[-1])), *((chain, chain.decisions.arch(row)) for row in near)]


def scores(task: Task, chosen: list[tuple[Space, Arch]], config: TrainingConfig) -> np.ndarray:
    found = []
    for space, arch in chosen:
        network, _ = train_network(space, arch, task, config, part="train+validation", seed=0, device=CPU)
        found.append(evaluate(network, task, "test")["top1_accuracy"])
    return np.array(found)


def shown(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


if __name__ == "__main__":
    main()
