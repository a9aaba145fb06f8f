"""Zero-cost scores on NAS-Bench-201: how well they rank cells by their true accuracy, and what they cost.

usage: bench_zero_cost.py TABLE IMAGES [N_CELLS] [N_TIMED]     (TABLE: nb201.csv.gz; IMAGES: an npz of CIFAR-10)

Cells are a stratified sample: all are ordered by true accuracy (test, 200 epochs), divided into N_CELLS equal strata,
and one of each is drawn with seed 0; the SHA-256 of their indices is stated. Networks have 16 channels and 5 cells a
stage, as the benchmark's own; batches have 64 images. A score that is not a number has the worst rank and stays among
the cells. Ranks of combinations are taken among the cells of the sample. Seconds are of one thread, on further cells.
"""

from __future__ import annotations

import hashlib
import sys
import time
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from archwright.core.correlation import kendall, spearman
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate
from archwright.evaluators.zero_cost.measures import rank_aggregated
from archwright.evaluators.zero_cost.scores import COMBINED, SCORES, ZeroCost, scores_of
from archwright.runners import ProcessPool
from archwright.search import search
from archwright.spaces import NasBench201
from archwright.strategies.random import Random
from archwright.tabular.published import nasbench201
from archwright.tabular.tables import read_table
from archwright.tasks import open_task
from common import machine, report

N_BOOTSTRAP = 300
Floats = NDArray[np.float64]
REFERENCES = {
    "az-nas": "0.72, 0.70 at 0.45 s a cell",
    "az-nas+synflow": "0.77, 0.75",
    "zico": "0.59",
    "synflow": "0.56",
    "naswot": "0.56",
    "snip": "0.49",
    "grasp": "0.33",
    "macs": "0.57",
    "live_macs": "0.64 (convolutions only)",
}
"""Authors' code, 150 cells; a subset's deviation is 0.035."""


def main() -> None:
    torch.set_num_threads(1)
    print(machine(1))
    n, n_timed = (int(text) for text in (sys.argv[3:5] + ["600", "12"][len(sys.argv[3:5]) :]))
    benchmark = nasbench201(read_table(sys.argv[1]))
    chosen = stratified(benchmark.truth, n)
    truth, rows = benchmark.truth[chosen], benchmark.places.rows[chosen]
    digest = hashlib.sha256(",".join(map(str, chosen)).encode()).hexdigest()
    report("cells", f"{n}, SHA-256 of their indices {digest}")
    task = open_task(f"npz:{sys.argv[2]}")
    space = NasBench201(input_shape=task.input_shape, n_classes=10, channels=16, cells=5)
    candidates = [Candidate(i, arch, i) for i, arch in enumerate(space.decisions.archs(rows))]
    evaluator = ZeroCost(space, task, list(SCORES))
    started = time.perf_counter()
    found = []
    for start in range(0, n, 8):
        found += evaluator.evaluate(candidates[start : start + 8])
    report("all scores of a cell", f"{(time.perf_counter() - started) / n:.2f} s")
    columns = {name: np.array([metrics[name] for metrics in found]) for name in SCORES}
    audit(columns)
    for name in [*SCORES, *COMBINED]:
        parts = [columns[one] for one in scores_of(name)]
        values = rank_aggregated(parts) if len(parts) > 1 else np.where(np.isnan(parts[0]), -np.inf, parts[0])
        seconds = timed(space, task, name, candidates[:: max(1, n // n_timed)][:n_timed])
        said = f"{judged(values, truth)}; {seconds:.3f} s a cell"
        report(
            f"{name}: Kendall, Spearman, nDCG, precision in the top 1, 5, 10 %; better half",
            said,
            REFERENCES.get(name, ""),
        )
    compare_runners(space, task)


def stratified(truth: Floats, n: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(0)
    order = np.argsort(truth, kind="stable")
    return np.sort([int(rng.choice(part)) for part in np.array_split(order, n)])


def judged(values: Floats, truth: Floats) -> str:
    ranks = np.searchsorted(np.sort(values), values, side="right").astype(float)  # infinities become ranks
    rng, n = np.random.default_rng(0), len(truth)
    drawn = [kendall(ranks[pick], truth[pick]) for pick in rng.integers(n, size=(N_BOOTSTRAP, n))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    better = truth >= np.median(truth)
    tops = ", ".join(f"{precision(ranks, truth, share):.2f}" for share in (0.01, 0.05, 0.1))
    return (
        f"{kendall(ranks, truth):.3f} ({low:.3f} to {high:.3f}), {spearman(ranks, truth):.3f}, "
        f"{ndcg(ranks, truth):.3f}, {tops}; {kendall(ranks[better], truth[better]):.3f}"
    )


def precision(ranks: Floats, truth: Floats, share: float) -> float:
    """Share of the best by truth among as many best by score."""
    k = max(1, round(share * len(truth)))
    return len({*np.argsort(-ranks, kind="stable")[:k]} & {*np.argsort(-truth, kind="stable")[:k]}) / k


def ndcg(ranks: Floats, truth: Floats) -> float:
    """Normalised discounted cumulative gain over all cells; gains are accuracies from the worst (0) to the best (1)."""
    gains = (truth - truth.min()) / (truth.max() - truth.min())
    discounts = 1 / np.log2(np.arange(len(truth)) + 2)
    return float(
        (gains[np.argsort(-ranks, kind="stable")] * discounts).sum() / (np.sort(gains)[::-1] * discounts).sum()
    )


def audit(columns: dict[str, Floats]) -> None:
    constant = [name for name, column in columns.items() if len(set(column)) == 1]
    same = [
        f"{one} = {other}"
        for one, other in combinations(columns, 2)
        if (np.argsort(columns[one], kind="stable") == np.argsort(columns[other], kind="stable")).all()
    ]
    undefined = {name: int((~np.isfinite(column)).sum()) for name, column in columns.items()}
    report("constant scores", ", ".join(constant) or "none", "none")
    report("scores with the same order", ", ".join(same) or "none", "none")
    report("cells without a score", ", ".join(f"{name} {n}" for name, n in undefined.items() if n) or "none")


def timed(space: NasBench201, task: object, name: str, candidates: list[Candidate]) -> float:
    evaluator = ZeroCost(space, task, scores_of(name))  # type: ignore[arg-type]
    evaluator.evaluate(candidates[:1])
    started = time.perf_counter()
    evaluator.evaluate(candidates)
    return (time.perf_counter() - started) / len(candidates)


def compare_runners(space: NasBench201, task: object) -> None:
    """Seconds a cell of AZ-NAS in this process and in two."""
    evaluator, objective = ZeroCost(space, task, scores_of("az-nas")), Objective((Goal("expressivity"),))  # type: ignore[arg-type]
    for what, runner in (("one process", None), ("two processes, their start included", ProcessPool(2, threads=1))):
        started = time.perf_counter()
        search(space, Random(space, n_trials=60, seed=1), evaluator, objective, runner=runner)
        report(f"az-nas, 60 cells, {what}", f"{(time.perf_counter() - started) / 60:.3f} s a cell")


if __name__ == "__main__":
    main()
