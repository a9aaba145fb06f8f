"""What keeping trials costs: stores by themselves, and the search loop in memory and durable.

The durable forms survive kill -9; `power_loss_safe` survives the death of the machine too, at one disk flush an `add`.
The search loop draws from NAS-Bench-201 with an evaluator that answers at once, parameters and multiply-accumulates
from tables; it asks for one candidate at a time, or for 50, and hands the store as many trials.

usage: bench_store.py [postgresql://USER@HOST:PORT/NAME]     (an empty database for the last rows; left out without)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np

import archwright as aw
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.evaluators.base import Evaluator
from archwright.stores import MemoryStore, Store, open_store
from archwright.stores.sql import SqlStore
from common import machine, report

N_TRIALS, REPEATS = 5_000, 5
_studies = count()


def main() -> None:
    print(machine())
    trials = made_trials(N_TRIALS)
    for what, opened in {
        "in memory": lambda folder: MemoryStore(),
        "SQLite": lambda folder: SqlStore(folder / "t.sqlite"),
    }.items():
        for batch in (1, 10, 100):
            measure_store(f"{what}, {batch} an add", opened, trials, batch)
    safe: Callable[[Path], Store] = lambda folder: SqlStore(folder / "t.sqlite", power_loss_safe=True)  # noqa: E731
    measure_store("SQLite, power_loss_safe, 1 an add", safe, trials[: N_TRIALS // 10], 1)
    measure_store("SQLite, power_loss_safe, 100 an add", safe, trials, 100)
    measure_reading(trials)
    for chunk in (1, 50):
        measure_search("in memory", chunk, lambda folder: None, "over 20,000")
        measure_search("durable in SQLite", chunk, lambda folder: folder, "over 3,000")
    for url in sys.argv[1:]:
        new_study: Callable[[Path], Store] = lambda folder, url=url: open_store(  # noqa: E731
            url, f"bench {time.time_ns()} {next(_studies)}"
        )
        for batch in (1, 10, 100):
            measure_store(f"PostgreSQL, {batch} an add", new_study, trials[: N_TRIALS // 5], batch)


def made_trials(n: int) -> list[Trial]:
    """Trials as a search over NAS-Bench-201 makes them."""
    space = aw.spaces.NasBench201()
    archs = space.decisions.archs(space.decisions.sample(n, np.random.default_rng(0)))
    return [
        Trial(
            Candidate(i, arch, derive_seed(0, "trial", i), parent=i - 1 if i else None, origin="mutation"),
            metrics={"top1_accuracy": i / n, "loss": 1 / (i + 1)},
            costs={"params": 1e6 + i, "macs": 1e8 + i},
            duration_s=i / 7,
        )
        for i, arch in enumerate(archs)
    ]


def measure_store(name: str, opened: Callable[[Path], Store], trials: Sequence[Trial], batch: int) -> None:
    """Trials a second of `add` alone, the store opened and closed outside the clock."""
    rates = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as store:
            started = time.perf_counter()
            for first in range(0, len(trials), batch):
                store.add(trials[first : first + batch])
            rates.append(len(trials) / (time.perf_counter() - started))
    report(f"add: {name}", told(rates))


def measure_reading(trials: Sequence[Trial]) -> None:
    """Trials a second of opening a file, which looks through all of it, and reading every trial."""
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        with open_store(Path(folder)) as store:
            store.add(trials)
        for _ in range(REPEATS):
            started = time.perf_counter()
            with open_store(Path(folder)) as store:
                n = len(store.trials())
            rates.append(n / (time.perf_counter() - started))
    report("open and read: SQLite", told(rates))


class Instant(Evaluator):
    """Answers at once, so that only the loop takes time."""

    def __init__(self, chunk: int) -> None:
        self.chunk = chunk

    def evaluate(self, candidates):
        return [{"top1_accuracy": candidate.seed / 2**63} for candidate in candidates]

    def model(self, arch, seed):
        raise AssertionError("nothing is trained here")


def measure_search(name: str, chunk: int, where: Callable[[Path], Path | None], target: str) -> None:
    """Trials a second of the search loop, without what it does once: opening, tables of costs."""
    space = aw.spaces.NasBench201()
    objective = aw.Objective((aw.Goal("top1_accuracy"),))
    few, many = 100, N_TRIALS + 100

    def seconds_of(n: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            strategy = aw.strategies.Random(space, n_trials=n)
            started = time.perf_counter()
            aw.search(space, strategy, Instant(chunk), objective, store=where(Path(folder)))
            return time.perf_counter() - started

    seconds_of(few)
    rates = [(many - few) / (seconds_of(many) - seconds_of(few)) for _ in range(REPEATS)]
    report(f"search loop: {name}, {chunk} an ask", told(rates), target)


def told(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} trials/s ({min(rates):,.0f} to {max(rates):,.0f})"


if __name__ == "__main__":
    main()
