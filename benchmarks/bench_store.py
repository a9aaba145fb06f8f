"""What keeping trials costs: each store by itself (the search loop around it: bench_search_loop.py).

The durable forms survive kill -9; `power_loss_safe` survives the death of the machine too, at one disk flush an `add`.

usage: bench_store.py [postgresql://USER@HOST:PORT/NAME]     (an empty database for the last rows; left out without)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import archwright as aw
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.stores import MemoryStore, Store, open_store
from archwright.stores.sql import SqlStore
from common import machine, report

N_TRIALS, REPEATS = 5_000, 5


def main() -> None:
    print(machine())
    trials = made_trials(N_TRIALS)
    for what, opened in (("in memory", in_memory), ("SQLite", in_file)):
        for batch in (1, 10, 100):
            measure_store(f"{what}, {batch} an add", opened, trials, batch)
    measure_store("SQLite, power_loss_safe, 1 an add", in_safe_file, trials[: N_TRIALS // 10], 1)
    measure_store("SQLite, power_loss_safe, 100 an add", in_safe_file, trials, 100)
    measure_reading(trials)
    for url in sys.argv[1:]:
        for batch in (1, 10, 100):
            measure_store(f"PostgreSQL, {batch} an add", partial(on_server, url), trials[: N_TRIALS // 5], batch)


def in_memory(folder: Path) -> Store:
    return MemoryStore()


def in_file(folder: Path) -> Store:
    return SqlStore(folder / "t.sqlite")


def in_safe_file(folder: Path) -> Store:
    return SqlStore(folder / "t.sqlite", power_loss_safe=True)


def on_server(url: str, folder: Path) -> Store:
    """A study of its own: the server keeps those of earlier calls."""
    return open_store(url, f"bench {time.time_ns()}")


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


def told(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} trials/s ({min(rates):,.0f} to {max(rates):,.0f})"


if __name__ == "__main__":
    main()
