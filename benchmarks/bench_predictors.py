"""Kendall's tau of accuracy predictors over all 15,625 cells of NAS-Bench-201, by the number of labels.

usage: bench_predictors.py DATA [PREDICTOR ...]     (DATA: the folder of published tables)

Labels are validation accuracies after 12 epochs of CIFAR-10, the truth is test accuracy after 200; and, as published
predictors are judged, labels and truth both of 200 epochs. Five draws of the labelled cells, which stand in the truth
too. Features: one-hot, and graph features.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from archwright.core.correlation import kendall
from archwright.predictors.encodings import encode
from archwright.predictors.gaussian_process import rank_gaussian
from archwright.predictors.regressors import PREDICTORS, open_predictor
from archwright.tabular.published import nasbench201
from archwright.tabular.tables import read_table
from common import machine, report

N_LABELS, N_DRAWS = (39, 78, 156, 469, 1563), 5
REFERENCE = "graph features, forest: 0.571, 0.671, 0.729, 0.803, 0.845; reach 0.70, 0.80, 0.86 at 78, 156, 469"


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    benchmark = nasbench201(read_table(Path(sys.argv[1]) / "nasbench201" / "nb201.csv.gz"))
    rows, truth, signal = benchmark.places.rows, benchmark.truth, benchmark.signal()
    for encoding in ("one-hot", "graph"):
        features = encode(benchmark.space, rows, encoding).astype(np.float64)
        for name in sys.argv[2:] or PREDICTORS:
            for labels, targets in (("12 epochs", signal), ("200 epochs", truth)):
                started, told = time.perf_counter(), []
                for n in N_LABELS:
                    taus = [tau(name, features, targets, truth, n, draw) for draw in range(N_DRAWS)]
                    told.append(f"{statistics.mean(taus):.3f} ({min(taus):.3f} to {max(taus):.3f})")
                seconds = f"; {time.perf_counter() - started:.0f} s"
                what = f"{encoding}, {name}, labels of {labels}: {', '.join(map(str, N_LABELS))}"
                report(what, "; ".join(told) + seconds, REFERENCE if labels == "200 epochs" else "")


def tau(name: str, features: np.ndarray, targets: np.ndarray, truth: np.ndarray, n: int, draw: int) -> float:
    chosen = np.random.default_rng(draw).permutation(len(truth))[:n]
    predictor = open_predictor(name, seed=draw)
    predictor.fit(features[chosen], rank_gaussian(targets[chosen]))
    return kendall(predictor.predict(features)[0], truth)


if __name__ == "__main__":
    main()
