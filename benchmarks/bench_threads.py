"""One thread, all threads and what the probe takes, on a quiet machine and beside one busy process.

Three tables: steps a second of a small training with either number and with settings of the OpenMP library; what the
probe chooses and the share of the better number that is lost by it; a short search by the command line, its estimate
beside its time. The busy process is this script's own: a Python loop, bound to no core. About half an hour.

    python benchmarks/bench_threads.py [rates|choices|runs ...]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from archwright.cli.threads import MOST_S, choose_threads
from archwright.recipes import SposConfig, spos
from archwright.spaces.spos import SposSpace
from archwright.tasks import digits
from archwright.training.device import use_layout
from archwright.training.networks import build_seeded
from archwright.training.threads import Pace
from bench_step import STEPS, stepper
from common import archwright, machine, report

ROUNDS, WINDOW_S = 5, 3.0
N_CHOICES, N_RUNS = 10, 3
STATES = ("quiet", "beside one busy process")
SETTINGS = (
    {"OMP_WAIT_POLICY": "passive"},
    {"GOMP_SPINCOUNT": "1000"},
    {"GOMP_SPINCOUNT": "10000"},
    {"GOMP_SPINCOUNT": "100000"},
    {"GOMP_SPINCOUNT": "1000000"},
)
SHORT_RUN = (
    *("--data", "mnist5k", "--preset", "quick", "--seed", "0"),
    *("--set", "supernet.steps=400", "--set", "evolution.generations=1"),
    *("--set", "retrain.steps=150", "--set", "n_draws=1"),
)
"""A minute or two; trained and scored images in about the proportion of the preset."""

LEAST_BUSY, MOST_LOST, FACTOR = 0.9, 0.03, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="rates, choices, runs; all by default")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve()
        return
    print(machine())
    parts: dict[str, Callable[[str], None]] = {"rates": rates, "choices": choices, "runs": runs}
    for name in asked.parts or parts:
        for state in STATES:
            with neighbour(state):
                parts[name](state)


@contextmanager
def neighbour(state: str) -> Iterator[None]:
    """A process that keeps one core busy, except in the quiet state."""
    if state == STATES[0]:
        yield
        return
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(2.0)  # until the load is steady
        yield
    finally:
        busy.kill()
        busy.wait()


# ── steps a second ────────────────────────────────────────────────────────────────────────────────


def small_training() -> Callable[[], None]:
    """Steps of a stand-alone network of the small space `spos`, batch 64."""
    space = SposSpace(input_shape=(1, 28, 28), n_classes=10)
    network = build_seeded(space, space.sample(1, np.random.default_rng(0))[0], 0).train()
    use_layout(network, True)
    return stepper(network, torch.randn(64, 1, 28, 28), torch.randint(10, (64,)))


def serve() -> None:
    """Answer each number of threads on standard input with the steps a second of a window."""
    run = small_training()
    print("ready", flush=True)
    for line in sys.stdin:
        torch.set_num_threads(int(line))
        run()
        pace = Pace()
        pace.run(lambda i: run(), seconds=WINDOW_S)
        print(STEPS * pace.rate, flush=True)


def rates(state: str) -> None:
    """Either number of threads, and two threads under each setting: windows in turn, medians.

    A setting counts when the OpenMP library is loaded, so each has a process of its own; only one computes at a time.
    """
    cores = len(os.sched_getaffinity(0))
    cases: list[tuple[str, int, dict[str, str]]] = [
        ("1 thread", 1, {}),
        (f"{cores} threads", cores, {}),
        *((f"{cores} threads, {' '.join(f'{k}={v}' for k, v in each.items())}", cores, each) for each in SETTINGS),
    ]
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    servers = [
        subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env={**unset, **setting},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _, _, setting in cases
    ]
    found: list[list[float]] = [[] for _ in cases]
    try:
        for server in servers:
            answer(server)
        for _ in range(ROUNDS):
            for i in np.random.default_rng(len(found[0])).permutation(len(cases)):
                found[i].append(answer(servers[i], cases[i][1]))
    finally:
        for server in servers:
            server.kill()
            server.wait()
    plain = statistics.median(found[1])
    for (name, _, _), each in zip(cases, found, strict=True):
        middle = statistics.median(each)
        spread = f"{min(each):.3g} to {max(each):.3g}"
        report(f"{state}: {name}, steps a second", f"{middle:.3g} ({spread}), {middle / plain:.2f} of plain")


def answer(server: subprocess.Popen[str], threads: int | None = None) -> float:
    """What a serving process says, asked for a number of threads."""
    assert server.stdin is not None
    assert server.stdout is not None
    if threads is not None:
        server.stdin.write(f"{threads}\n")
        server.stdin.flush()
    said = server.stdout.readline().strip()
    return 0.0 if said == "ready" else float(said)


# ── what the probe takes ──────────────────────────────────────────────────────────────────────────


def choices(state: str) -> None:
    """The probe of a minute's search, again and again; after each the steps a second with either number."""
    task, run, cores = digits(), small_training(), len(os.sched_getaffinity(0))
    config = replace(SposConfig.preset("quick", task.input_shape), threads=cores)
    taken, probe_s, kept = Counter[int](), [], []
    for _ in range(N_CHOICES):
        started = time.perf_counter()
        chosen, lines = choose_threads(spos, config, task, given=False)
        probe_s.append(time.perf_counter() - started)
        rate = {}
        for n in (1, cores):
            torch.set_num_threads(n)
            run()
            pace = Pace()
            pace.run(lambda i: run(), seconds=WINDOW_S)
            rate[n] = pace.rate
        taken[chosen.threads] += 1
        kept.append(rate[chosen.threads] / (max(rate.values()) if state == STATES[0] else rate[1]))
        print(f"{state}: {lines[-1]}; then {', '.join(f'{STEPS * each:.3g}' for each in rate.values())}", flush=True)
    report(f"{state}: the probe takes", ", ".join(f"{n} threads {count}x" for n, count in sorted(taken.items())))
    report(f"{state}: glance and probe", f"{statistics.median(probe_s):.1f} s", f"the probe {MOST_S:g} s at most")
    target = f"at least {1 - MOST_LOST:g} of the better" if state == STATES[0] else f"at least {LEAST_BUSY} of 1 thread"
    report(f"{state}: steps a second by the number taken", f"{statistics.median(kept):.3f}", target)


# ── whole runs ────────────────────────────────────────────────────────────────────────────────────


def runs(state: str) -> None:
    """A short search by the command: as it comes, and with the number that is right here."""
    cores = len(os.sched_getaffinity(0))
    right = ["--threads", str(cores if state == STATES[0] else 1)]
    walls: dict[str, list[float]] = {"as it comes": [], " ".join(right): []}
    factors = []
    for _ in range(N_RUNS):
        for name, options in zip(walls, ([], right), strict=True):
            wall_s, threads, estimate_s = short_run(options)
            walls[name].append(wall_s)
            factors.append(wall_s / estimate_s)
            print(f"{state}, {name}: {threads} threads, estimated {estimate_s:.0f} s, took {wall_s:.1f} s", flush=True)
    plain, best = (statistics.median(each) for each in walls.values())
    target = f"at most {1 / (1 - MOST_LOST):.2f}" if state == STATES[0] else f"at most {1 / LEAST_BUSY:.2f}"
    report(f"{state}: a short search as it comes / {' '.join(right)} ({best:.0f} s)", f"{plain / best:.2f}", target)
    spread = f"{min(factors):.2f} to {max(factors):.2f}"
    report(f"{state}: its time / estimated", f"{statistics.median(factors):.2f} ({spread})", f"within {FACTOR}")


def short_run(options: Sequence[str]) -> tuple[float, int, float]:
    """Seconds of a run's phases, its threads, and the seconds that were estimated."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = archwright("search", "spos", *SHORT_RUN, "--out", str(out), *options)
        said = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ).stdout
        ledger = json.loads((out / "result.json").read_text())["ledger"]
        threads = json.loads((out / "run.json").read_text())["threads"]
    # parts are given beside the whole, and are rounded less where they are short
    each = re.findall(r"^ +(\d+) (s|min)  ", said, re.MULTILINE)
    estimate_s = sum(int(number) * {"s": 1, "min": 60}[unit] for number, unit in each)
    return sum(entry["wall_s"] for entry in ledger.values()), threads, float(estimate_s)


if __name__ == "__main__":
    main()
