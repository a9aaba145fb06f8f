"""Drawing and building architectures, and costing a million of them from tables."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from archwright.costs.counted import Macs, Params
from archwright.spaces.spos import SposSpace
from common import THREADS, machine, report, seconds

REPEATS = 30


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    for shape in ((1, 28, 28), (3, 224, 224)):
        space = SposSpace(input_shape=shape, n_classes=10)
        rng = np.random.default_rng(0)
        found = seconds(lambda: space.build(space.sample(1, rng)[0]), REPEATS, warmup=3)  # noqa: B023
        n_parameters = sum(p.numel() for p in space.build(space.sample(1, rng)[0]).parameters())
        report(
            f"draw and build, SPOS at {shape[1]} ({n_parameters / 1e6:.1f} M parameters, initialised)",
            f"{1e3 * statistics.median(found):.1f} ms",
            "under 10 ms",
        )
    space = SposSpace()
    rows = space.decisions.sample(1_000_000, np.random.default_rng(0))
    started = time.perf_counter()
    Macs().cost_rows(space, rows[:1])
    report("cost tables of SPOS at 224, made once", f"{time.perf_counter() - started:.2f} s")
    found = seconds(lambda: (Params().cost_rows(space, rows), Macs().cost_rows(space, rows)), 5)
    report("params and macs of a million archs", f"{statistics.median(found):.2f} s", "under 2 s")
    found = seconds(lambda: space.decisions.sample(1_000_000, np.random.default_rng(0)), 5)
    report("drawing a million archs", f"{statistics.median(found):.2f} s")


if __name__ == "__main__":
    main()
