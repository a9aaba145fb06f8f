"""Does a uniformly trained supernet rank NAS-Bench-201 cells as their true CIFAR-10 accuracies do?

usage: bench_ranking.py IMAGES.npz TABLE.csv.gz [--steps 6000] [--reduce 0,1,2,3] [--seeds 3] [--out ranking.jsonl]

IMAGES: 20,000 training and at least 1,000 test images as `--data npz:PATH` reads them. TABLE: NAS-Bench-201's cells
with the columns `index` and `test200_c10`. For each space and seed: a supernet of 8 channels and one cell a stage,
uniform paths, batches of 128 (SGD 0.1 cosine, Nesterov, decay 5e-4, flip and crop) on the 90 % of the training
images that are no validation images; 150 random cells scored after calibration on 512 training images, on the first
1,000 test images (the published setting) and on the validation images (as it should be). Supernet, cells, and batches
follow the seed. Each result is a line of `--out`; what is there already is not run again. Needs scipy.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archwright.core.correlation import correlations, kendall
from archwright.core.trial import Candidate
from archwright.costs import Macs
from archwright.evaluators import SupernetEvaluator
from archwright.evaluators.supernet import CalibrationConfig
from archwright.policies import Uniform
from archwright.spaces import NasBench201
from archwright.spaces.nasbench201.cells import EDGES, N_NODES
from archwright.strategies.base import draw_feasible
from archwright.tasks import ImageTask
from archwright.training.config import TrainingConfig
from archwright.training.networks import build_seeded
from archwright.weight_sharing import UniformPath
from common import THREADS, machine, mean_interval, report

METRIC = "top1_accuracy"
TRUTH = "test200_c10"
CONV_COST = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}


def main() -> None:
    options = parse()
    if not (options.images.exists() and options.table.exists()):
        print("skipped: give an npz with CIFAR-10 images and the table of NAS-Bench-201")
        return
    torch.set_num_threads(options.threads)
    print(machine(), flush=True)
    truth = read_truth(options.table)
    done = read_done(options.out)
    for reduce in options.reduce:
        report_costs(NasBench201(reduce=reduce), truth)
        for seed in range(options.seeds):
            setting = Setting(
                reduce, options.steps, seed, options.cells, options.channels, options.depth, options.affine
            )
            if setting.key not in done:
                done[setting.key] = measure(setting, options.images, truth)
                with options.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"setting": vars(setting), **done[setting.key]}) + "\n")
            show(setting, done[setting.key])
        summarize(options, reduce, done)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("images", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--reduce", type=numbers, default=[0], help="spaces, e.g. 0,1,2,3")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to N - 1")
    parser.add_argument("--cells", type=int, default=150, help="cells scored")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--depth", type=int, default=1, help="cells a stage")
    parser.add_argument("--affine", action="store_true", help="affine batch norms in the operations")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--out", type=Path, default=Path("ranking.jsonl"))
    return parser.parse_args()


@dataclass(frozen=True)
class Setting:
    """One supernet and the cells it scores."""

    reduce: int
    steps: int
    seed: int
    cells: int
    channels: int
    depth: int
    affine: bool

    @property
    def key(self) -> str:
        return json.dumps(vars(self))


def measure(setting: Setting, images: Path, truth: dict[int, float]) -> dict[str, Any]:
    """Train, score, compare."""
    task = cifar(images, setting.seed)
    space = NasBench201(
        input_shape=task.input_shape,
        n_classes=task.n_classes,
        channels=setting.channels,
        cells=setting.depth,
        reduce=setting.reduce,
        affine=setting.affine,
    )
    supernet = build_seeded(space, None, setting.seed)
    training = TrainingConfig(
        steps=setting.steps,
        batch_size=128,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decay_norm_and_bias=True,
        precision="float32",
    )
    started = time.perf_counter()
    UniformPath(training).fit(supernet, Uniform(space), task, seed=setting.seed)
    train_s = time.perf_counter() - started
    rng = np.random.default_rng(setting.seed)
    rows = draw_feasible(space.decisions, lambda rows: np.ones(len(rows), dtype=bool), setting.cells, rng)
    archs = space.decisions.archs(rows)
    candidates = [Candidate(i, arch, 0) for i, arch in enumerate(archs)]
    indices = [space.index(arch) for arch in archs]
    true = [truth[index] for index in indices]
    found: dict[str, Any] = {"index": indices, "truth": true, "train_s": train_s}
    for part in ("test", "validation"):
        evaluator = SupernetEvaluator(space, supernet, task, CalibrationConfig(batches=4, batch_size=128), part=part)
        started = time.perf_counter()
        scores = [metrics[METRIC] for metrics in evaluator.evaluate(candidates)]
        found[part] = {"score_s": time.perf_counter() - started, "scores": scores}
        found[part] |= correlations(scores, true, np.random.default_rng(0))
    found["macs"] = correlations(Macs().cost_rows(space, rows), true, np.random.default_rng(0))
    found["live_convolutions"] = correlations(live_cost(space, rows), true, np.random.default_rng(0))
    return found


def cifar(path: Path, seed: int) -> ImageTask:
    """All training images; of the test images the first 1,000."""
    with np.load(path, allow_pickle=False) as arrays:
        x_train, y_train, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    x_train, x_test = (x.transpose(0, 3, 1, 2) for x in (x_train, x_test[:1000]))
    return ImageTask("cifar10", x_train, y_train, x_test, y_test[:1000], seed=seed)


def read_truth(path: Path) -> dict[int, float]:
    """Accuracy in percent by cell index."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return {int(line["index"]): float(line[TRUTH]) for line in csv.DictReader(stream)}


def read_done(path: Path) -> dict[str, dict[str, Any]]:
    """Results of earlier runs by their setting."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return {json.dumps(found["setting"]): found for found in map(json.loads, lines)}


def live_cost(space: NasBench201, rows: np.ndarray) -> np.ndarray:
    """Convolution cost (n,), in units of a 1x1, of the edges that lie on a path from the input to the output."""
    exists = np.stack([rows[:, i] != space.ops.index("none") for i in range(len(EDGES))], axis=1)
    weights = np.array([CONV_COST.get(op, 0) for op in space.ops])
    from_input, to_output = np.zeros((2, len(rows), N_NODES), dtype=bool)
    from_input[:, 0] = to_output[:, -1] = True
    for i, (source, target) in enumerate(EDGES):  # targets ascend
        from_input[:, target] |= exists[:, i] & from_input[:, source]
    for i, (source, target) in reversed(list(enumerate(EDGES))):
        to_output[:, source] |= exists[:, i] & to_output[:, target]
    total = np.zeros(len(rows))
    for i, (source, target) in enumerate(EDGES):
        total += exists[:, i] * from_input[:, source] * to_output[:, target] * weights[rows[:, i]]
    return total


def report_costs(space: NasBench201, truth: dict[int, float]) -> None:
    """What costs alone would give, over every cell of the space."""
    rows = space.decisions.enumerate_rows()
    true = [truth[space.index(arch)] for arch in space.decisions.archs(rows)]
    name = f"reduce {space.reduce}: {len(rows):,} cells, Kendall of"
    report(f"{name} multiply-accumulates", f"{kendall(Macs().cost_rows(space, rows), true):.3f}")
    report(f"{name} live convolutions", f"{kendall(live_cost(space, rows), true):.3f}")


def show(setting: Setting, found: dict[str, Any]) -> None:
    """One supernet."""
    name = f"reduce {setting.reduce}, {setting.steps} steps, seed {setting.seed}"
    report(f"{name}: training", f"{found['train_s']:.0f} s")
    for part in ("test", "validation"):
        report(
            f"{name}: {found[part]['n']} cells on {part} images, {found[part]['score_s']:.0f} s", tau_text(found[part])
        )
    report(f"{name}: multiply-accumulates alone", tau_text(found["macs"]))
    report(f"{name}: live convolutions alone", tau_text(found["live_convolutions"]))


def tau_text(found: dict[str, Any]) -> str:
    low, high = found["ci95"]["kendall"]
    return f"{found['kendall']:.3f} ({low:.3f} to {high:.3f})"


def summarize(options: argparse.Namespace, reduce: int, done: dict[str, dict[str, Any]]) -> None:
    """Mean over the seeds with its 95 % t interval."""
    settings = [
        Setting(reduce, options.steps, seed, options.cells, options.channels, options.depth, options.affine)
        for seed in range(options.seeds)
    ]
    for key in ("test", "validation", "macs", "live_convolutions"):
        taus = [done[setting.key][key]["kendall"] for setting in settings]
        report(f"reduce {reduce}, {options.steps} steps, {len(taus)} seeds: Kendall, {key}", mean_interval(taus))


if __name__ == "__main__":
    main()
