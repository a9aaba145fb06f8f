"""Scoring populations on supernets beside a plain loop in float32, default layout, batch 256, or beside another build.

The small SPOS space and NAS-Bench-201 (8 channels, one cell a stage). Both ways calibrate with the same 512 training
images and score the same validation images; the ranking has to be the same. In bfloat16, which is no equal of the plain
loop, Kendall's tau to the float32 scores is told instead.

With `--against TREE` our float32 scoring runs beside that of another checkout of this project, each in a process of its
own, in turn on the same weights; how far their logits are apart is told too, and the ratio of the processors' time,
which other work on the machine disturbs less.

usage: bench_population.py [IMAGES.npz] [--against TREE] [--blocks N] [--threads N]
(CIFAR-10 for NAS-Bench-201, left out without; the demo extra for MNIST)
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from archwright.core.trial import Candidate, derive_seed
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
    parser = argparse.ArgumentParser()
    parser.add_argument("images", nargs="?", help="CIFAR-10 in a file of arrays")
    parser.add_argument("--against", metavar="TREE", help="a checkout of the project to compare with")
    parser.add_argument("--blocks", type=int, help="how often each is run")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)  # the space a process of `Build` scores
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    images = given.images if given.images and Path(given.images).exists() else None
    if given.serve:
        serve(given.serve, images, given.weights)
        return
    print(machine(given.threads))
    if given.against:
        for name in ("SPOS", "NAS-Bench-201") if images else ("SPOS",):
            beside(name, images, given.against, given.blocks or 7 * BLOCKS, given.threads)
        return
    rng = np.random.default_rng(0)
    spos, task = opened("SPOS", None)
    setting = Setting(spos, task)
    first = spos.decisions.sample(POPULATION, rng)
    blocks = given.blocks or BLOCKS
    compare("SPOS, random", setting, first, 0.33, blocks)
    compare("SPOS, evolved", setting, evolved(spos, first, setting.plain.scores(first), rng), 0.33, blocks)
    if images:
        cells, task = opened("NAS-Bench-201", images)
        rows = cells.decisions.sample(POPULATION // 2, rng)
        compare("NAS-Bench-201, random", Setting(cells, task), rows, 0.40, blocks)


def opened(name: str, images: str | None) -> tuple[Space, Task]:
    if name == "SPOS":
        task = open_task("mnist5k")
        return SposSpace(input_shape=task.input_shape, n_classes=task.n_classes).search_form(), task
    task = open_task(f"npz:{images}")
    return NasBench201(channels=8, cells=1, input_shape=task.input_shape, n_classes=task.n_classes), task


def trained(space: Space, task: Task) -> nn.Module:
    """A supernet trained a little."""
    torch.manual_seed(0)
    supernet = space.supernet()
    training = TrainingConfig(steps=TRAIN_STEPS, batch_size=64, learning_rate=0.1, nesterov=True)
    UniformPath(training).fit(supernet, Uniform(space), task, seed=0)
    return supernet


CALIBRATION = CalibrationConfig(batches=2, batch_size=256)


class Setting:
    """A supernet trained a little, scored in three ways.

    Attributes:
        plain: The plain loop.
        float32: Ours.
        bfloat16: Ours, in lower precision.
    """

    def __init__(self, space: Space, task: Task) -> None:
        self.space = space
        supernet = trained(space, task)
        self.float32 = SupernetEvaluator(space, supernet, task, CALIBRATION)
        self.bfloat16 = SupernetEvaluator(space, copy.deepcopy(supernet), task, CALIBRATION, precision="bfloat16")
        self.plain = Plain(supernet, task)


def compare(name: str, setting: Setting, rows: np.ndarray, target: float, blocks: int) -> None:
    """Times of the three, taken in turn, and what they find."""
    candidates = candidates_of(setting.space, rows)
    runs = [
        lambda: setting.plain.scores(rows),
        lambda: setting.float32.evaluate(candidates),
        lambda: setting.bfloat16.evaluate(candidates),
    ]
    plain_s, float32_s, bfloat16_s = interleaved(runs, blocks)
    theirs = setting.plain.scores(rows)
    ours, short = (
        [found["top1_accuracy"] for found in evaluator.evaluate(candidates)]
        for evaluator in (setting.float32, setting.bfloat16)
    )
    middle, low, high = ratio(float32_s, plain_s)
    report(
        f"{name} population of {len(rows)}: ours / plain ({np.median(plain_s):.1f} s)",
        f"{middle:.3f} ({low:.3f} to {high:.3f}), ranking {same_ranking(theirs, ours)}",
        f"at most {target}",
    )
    middle, low, high = ratio(bfloat16_s, plain_s)
    tau = float(kendalltau(ours, short).statistic)
    report(f"{name}, bfloat16", f"{middle:.3f} ({low:.3f} to {high:.3f}), Kendall to float32 {tau:.3f}")


def candidates_of(space: Space, rows: np.ndarray) -> list[Candidate]:
    return [Candidate(i, arch, 0) for i, arch in enumerate(space.decisions.archs(rows))]


def same_ranking(one: list[float], other: list[float]) -> str:
    same = np.array_equal(np.argsort(one, kind="stable"), np.argsort(other, kind="stable"))
    return "identical" if same else "DIFFERENT"


def evolved(space: Space, rows: np.ndarray, scores: list[float], rng: np.random.Generator) -> np.ndarray:
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

    def __init__(self, supernet: nn.Module, task) -> None:
        self.network = copy.deepcopy(supernet).to(memory_format=torch.contiguous_format)
        self.selection, self.task = selection_of(self.network), task
        seed = derive_seed(0, "calibration")
        batches = task.split("train").batches(CALIBRATION.batch_size, seed=seed, n_steps=CALIBRATION.batches)
        self.calibration = [batch.inputs.contiguous() for batch in batches]
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


# ── beside another build ──────────────────────────────────────────────────────────────────────────


def beside(name: str, images: str | None, tree: str, blocks: int, threads: int) -> None:
    """Times of both builds, taken in turn, and how far what they find is apart."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.pt")
        torch.save(trained(*opened(name, images)).state_dict(), weights)
        here = Path(__file__).parents[1]
        ours, theirs = (Build(root, name, images, weights, Path(folder), threads) for root in (here, Path(tree)))
        seconds = interleaved([ours.run, theirs.run], blocks)
        middle, low, high = ratio(*seconds)
        # without the run that warmed up
        processor = "{:.3f} ({:.3f} to {:.3f})".format(*ratio(ours.processor_s[1:], theirs.processor_s[1:]))
        (our_scores, our_logits), (their_scores, their_logits) = ours.found(), theirs.found()
        apart = np.abs(our_logits - their_logits) / np.maximum(1, np.abs(their_logits))
        report(
            f"{name}, {len(our_scores)} random archs: ours / {tree} ({np.median(seconds[1]):.1f} s), {blocks} blocks",
            f"{middle:.3f} ({low:.3f} to {high:.3f}), of the processors' time {processor}, "
            f"ranking {same_ranking(their_scores, our_scores)}, "
            f"logits at most {apart.max():.1e} * max(1, |logit|) apart",
        )
        ours.close()
        theirs.close()


class Build:
    """A process that scores the population with the code of one checkout; it works only while it is asked.

    Attributes:
        processor_s: Processor time of each run.
    """

    def __init__(
        self, root: Path, name: str, images: str | None, weights: Path, folder: Path, threads: int = THREADS
    ) -> None:
        self.folder, self.processor_s = folder, list[float]()
        options = ["--serve", name, "--weights", str(weights), "--threads", str(threads)]
        command = [sys.executable, __file__, *([images] if images else []), *options]
        environment = os.environ | {"PYTHONPATH": str(root / "src")}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert Path(self._ask("where")).resolve().is_relative_to(root.resolve()), "another build was imported"

    def run(self) -> None:
        self.processor_s.append(self._ask("run"))

    def found(self) -> tuple[list[float], np.ndarray]:
        """Accuracies (archs), and logits (archs, images, classes)."""
        path = self.folder / "logits.npy"
        return self._ask(f"found {path}"), np.load(path)

    def close(self) -> None:
        self.process.communicate()

    def _ask(self, request: str) -> Any:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        print(request, file=stdin, flush=True)
        return json.loads(stdout.readline())


def serve(name: str, images: str | None, weights: str) -> None:
    """Answer the requests of a `Build`."""
    space, task = opened(name, images)
    supernet = space.supernet()
    supernet.load_state_dict(torch.load(weights))
    evaluator = SupernetEvaluator(space, supernet, task, CALIBRATION)
    n = POPULATION if name == "SPOS" else POPULATION // 2
    candidates = candidates_of(space, space.decisions.sample(n, np.random.default_rng(0)))
    for request in sys.stdin:
        word, *rest = request.split()
        if word == "run":
            started = time.process_time()
            evaluator.evaluate(candidates)
            print(json.dumps(time.process_time() - started), flush=True)
        elif word == "found":
            scores = [found["top1_accuracy"] for found in evaluator.evaluate(candidates)]
            np.save(rest[0], np.stack([logits_of(evaluator, candidate) for candidate in candidates]))
            print(json.dumps(scores), flush=True)
        else:
            print(json.dumps(sys.modules["archwright"].__file__), flush=True)


def logits_of(evaluator: SupernetEvaluator, candidate: Candidate) -> np.ndarray:
    """(images, classes), heard where they are scored."""
    task, seen = evaluator.task, list[Tensor]()
    evaluator.task = copy.copy(task)
    evaluator.task.meter = lambda: Heard(task.meter(), seen)  # type: ignore[method-assign]
    evaluator.evaluate([candidate])
    evaluator.task = task
    return torch.cat(seen).numpy()


class Heard:
    """A meter that keeps the outputs it is given."""

    decodes = False

    def __init__(self, meter, seen: list[Tensor]) -> None:
        self.meter, self.seen = meter, seen

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.seen.append(outputs.clone())
        self.meter.update(outputs, targets)

    def result(self) -> dict[str, float]:
        return self.meter.result()


if __name__ == "__main__":
    main()
