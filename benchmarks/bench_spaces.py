"""All listed spaces and published networks: building, drawing, costing a million, `archwright cost`."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from archwright.core import catalog
from archwright.costs.counted import Macs, Params
from archwright.spaces import Space, open_architecture, open_space
from common import THREADS, archwright, command_seconds, machine, report, seconds

REPEATS = 5
N_DRAWN, N_COSTED = 100_000, 1_000_000
CHAINS = ("spos", "spos-block-channel", "fbnet", "mnasnet", "proxylessnas", "ofa-mobilenetv3", "ofa-proxyless")
N_SLOWEST = 5


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    build()
    draw()
    for name in CHAINS:
        cost_a_million(open_space(name))
    cost_commands()


def build() -> None:
    """The largest published network without its weights."""
    found = open_architecture("nasnet-a-large")

    def on_meta() -> None:
        with torch.device("meta"):
            found.space.build(found.arch)

    report("build nasnet-a-large on meta", f"{statistics.median(seconds(on_meta, REPEATS)):.2f} s", "under 1 s")


def draw() -> None:
    """Archs of every space; a space's decisions are made ready by the first draw, which is not counted."""
    for entry in catalog.entries("space"):
        space = open_space(entry.name)
        found = seconds(lambda: space.sample(N_DRAWN, np.random.default_rng(0)), REPEATS)  # noqa: B023
        text = f"{statistics.median(found):.2f} s"
        report(f"draw {N_DRAWN:,} archs of {entry.name}, {len(space.decisions)} decisions", text, "under 1 s")


def cost_a_million(space: Space) -> None:
    """Parameters and multiply-accumulates, from tables."""
    rows = space.decisions.sample(N_COSTED, np.random.default_rng(0))
    params, macs = Params(), Macs()

    def every() -> None:
        params.cost_rows(space, rows)
        macs.cost_rows(space, rows)

    started = time.perf_counter()
    every()
    report(f"{space.name}: tables made, and a million costed", f"{time.perf_counter() - started:.2f} s")
    report(f"{space.name}: a million", f"{statistics.median(seconds(every, REPEATS, warmup=0)):.2f} s", "under 2 s")


def cost_commands() -> None:
    """Every published network once, the slowest of them again."""
    names = [entry.name for entry in catalog.entries("architecture")]
    once = {name: command_seconds(archwright("cost", name), 1)[0] for name in names}
    print(f"archwright cost, {len(names)} published networks once: median {statistics.median(once.values()):.2f} s")
    for name in sorted(once, key=lambda name: -once[name])[:N_SLOWEST]:
        found = command_seconds(archwright("cost", name), REPEATS)
        report(f"archwright cost {name}", f"{statistics.median(found):.2f} s", "under 3 s")


if __name__ == "__main__":
    main()
