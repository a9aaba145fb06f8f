"""Strategies on tabular benchmarks: true scores of the incumbent, and how fast a proposal is.

usage: bench_tabular.py DATA [nasbench201] [macro] [limits] [speed]     (DATA: the folder of published tables)

DATA holds nasbench201/nb201.csv.gz, nasbench_macro/nasbench_macro_cifar10.csv.gz and hw_nas_bench/nb201_cifar10.csv.gz.
Settings of the predictor were chosen on ImageNet16-120 alone. Evolution has a population of 50 and samples of 10.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from archwright.core.objective import Goal, Objective
from archwright.core.pareto import fronts
from archwright.core.trial import Trial
from archwright.strategies.predictor_guided import PredictorConfig, PredictorGuided
from archwright.tabular.bench import Comparison, compare
from archwright.tabular.benchmark import Benchmark
from archwright.tabular.published import nasbench201, nasbench_macro
from archwright.tabular.tables import read_table
from common import machine, report

EVOLUTION = {"population": "50", "sample": "10", "identity_probability": "0"}
STRATEGIES = ("regularized-evolution", "local-search", "nsga2")
SETTINGS = {"regularized-evolution": EVOLUTION, "local-search": {"start": "10", "first": "true"}}
N_SEEDS, N_EVALS = 200, 200
N_PREDICTED = 100
"""Evaluations of the predictor-guided search, which has the optimum long before."""
N_LIMITED_SEEDS = 100
LATENCY = ("edgegpu_latency_ms", (2, 3, 4, 5, 6))
ENERGY = ("eyeriss_energy_mJ", (0.5, 0.7, 0.9, 1.1, 1.3))
REFERENCES = {
    ("c10", "random"): "93.73 at 100, 93.87 at 200",
    ("c10", "regularized-evolution"): "94.06, 94.21, 94.27 at 100, 150, 200",
    ("c10", "local-search"): "94.16, 94.27, 94.31 at 100, 150, 200",
    ("c10", "predictor"): "94.32 at 50, the optimum in 95 % of seeds at 75",
    ("c100", "predictor"): "73.09 at 100",
    ("in16", "predictor"): "46.478 at 100 (its ceiling)",
}


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    data, parts = Path(sys.argv[1]), sys.argv[2:] or ["nasbench201", "macro", "limits", "speed"]
    if "nasbench201" in parts:
        table = read_table(data / "nasbench201" / "nb201.csv.gz")
        for dataset in ("c10", "c100", "in16"):
            both(nasbench201(table, dataset))
    if "macro" in parts:
        both(nasbench_macro(read_table(data / "nasbench_macro" / "nasbench_macro_cifar10.csv.gz")))
    if "limits" in parts:
        under_limits(data)
    if "speed" in parts:
        speed(data)


def both(benchmark: Benchmark) -> None:
    tell(compare(benchmark, STRATEGIES, n_evals=N_EVALS, n_seeds=N_SEEDS, settings=SETTINGS))
    tell(compare(benchmark, ["predictor"], n_evals=N_PREDICTED, n_seeds=N_SEEDS))


def tell(found: Comparison) -> None:
    points = [point for point in (25, 30, 50, 75, 100, 150, 200) if point <= found.checkpoints[-1]]
    for name, curve in found.curves.items():
        means = ", ".join(f"{np.nanmean(found.at(name, point)):.3f}" for point in points)
        shares = ", ".join(f"{found.share_of_optimum(name, point):.0%}" for point in points)
        what = f"{found.benchmark} {found.dataset}, {name}: mean at {', '.join(map(str, points))}"
        report(what, f"{means}; optimum {shares}; {curve.seconds:.0f} s", REFERENCES.get((found.dataset, name), ""))


def under_limits(data: Path) -> None:
    """Regret to the best member within each limit, after 50 evaluations."""
    joined = read_table(data / "nasbench201" / "nb201.csv.gz").joined(
        read_table(data / "hw_nas_bench" / "nb201_cifar10.csv.gz"), "index"
    )
    benchmark = nasbench201(joined)
    for cost, limits in (LATENCY, ENERGY):
        regrets: dict[str, list[float]] = {}
        for limit in limits:
            found = compare(
                benchmark,
                [*STRATEGIES, "predictor"],
                n_evals=50,
                n_seeds=N_LIMITED_SEEDS,
                limits={cost: float(limit)},
                settings=SETTINGS,
            )
            for name in found.curves:
                regrets.setdefault(name, []).append(found.optimum - float(np.nanmean(found.at(name, 50))))
        for name, values in regrets.items():
            each = ", ".join(f"{value:.3f}" for value in values)
            report(f"regret at {cost} <= {', '.join(map(str, limits))}, {name}", each, "")


def speed(data: Path) -> None:
    """Proposals a second at 100 observations, the sorting of NSGA-II, and the opening of the table."""
    started = time.perf_counter()
    benchmark = nasbench201(read_table(data / "nasbench201" / "nb201.csv.gz"))
    benchmark.signal()
    report("opening the table", f"{time.perf_counter() - started:.2f} s", "0.2 s")
    strategy = PredictorGuided(benchmark.space, PredictorConfig(), seed=0)
    strategy.bind(Objective((Goal("top1_accuracy"),)), lambda rows: np.ones(len(rows), bool))
    evaluator, taken = benchmark.evaluator(), []
    for i in range(120):
        before = time.perf_counter()
        (candidate,) = strategy.ask(1)
        strategy.tell([Trial(candidate, metrics=evaluator.evaluate([candidate])[0])])
        if i >= 95:
            taken.append(time.perf_counter() - before)
    report(
        "proposals a second at 95 to 120 observations",
        f"{len(taken) / sum(taken):.0f} (slowest {max(taken):.2f} s)",
        "30",
    )
    values = np.random.default_rng(0).normal(size=(10_000, 3))
    before = time.perf_counter()
    fronts(values)
    report("non-dominated sorting, 10,000 points of 3 goals", f"{time.perf_counter() - before:.2f} s", "0.5 s")


if __name__ == "__main__":
    main()
