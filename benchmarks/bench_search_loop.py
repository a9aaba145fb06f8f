"""The search loop on a tabular benchmark: trials a second in memory and durable in SQLite.

usage: bench_search_loop.py TABLE.csv.gz

TABLE: NAS-Bench-201's cells with their accuracies, as `archwright rank --truth` reads them. Nothing is trained, so
what is left is asking, looking costs up, storing and telling. Durable means that what was told survives kill -9
(WAL, NORMAL).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Metrics
from archwright.evaluators.base import Evaluator
from archwright.ranking import read_truth
from archwright.search import search
from archwright.spaces import NasBench201
from archwright.strategies import Random
from common import machine, report

N_TRIALS = 10_000
REPEATS = 5
METRIC = "top1_accuracy"


class Table(Evaluator):
    """Looks accuracies up."""

    def __init__(self, table: dict[Arch, float], chunk: int) -> None:
        self.table, self.chunk = table, chunk  # type: ignore[misc]

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [{METRIC: self.table[candidate.arch]} for candidate in candidates]

    def model(self, arch: Arch, seed: int) -> nn.Module:
        raise NotImplementedError


def trials_a_second(space: NasBench201, table: dict[Arch, float], chunk: int, *, durable: bool) -> float:
    rates = []
    for seed in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found = search(
                space,
                Random(space, n_trials=N_TRIALS, seed=seed),
                Table(table, chunk),
                Objective((Goal(METRIC),)),
                store=folder if durable else None,
            )
            rates.append(len(found.trials) / (time.perf_counter() - started))
    return statistics.median(rates)


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    space = NasBench201()
    table, _ = read_truth(Path(sys.argv[1]), space)
    search(space, Random(space, n_trials=1), Table(table, 1), Objective((Goal(METRIC),)))  # cost tables are filled once
    for chunk, how in ((1, "one at a time"), (64, "64 at a time")):
        report(f"in memory, {how}", f"{trials_a_second(space, table, chunk, durable=False):,.0f} /s", "over 20,000 /s")
        report(f"durable, {how}", f"{trials_a_second(space, table, chunk, durable=True):,.0f} /s", "over 3,000 /s")


if __name__ == "__main__":
    main()
