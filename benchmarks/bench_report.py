"""The page of a run: size, and time to make, with 10,000 trials of the search and as many of the baseline."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from common import machine, report, seconds

N_TRIALS = 10_000
N_DECISIONS = 20
REPEATS = 5


def trials(n: int, seed: int) -> list[dict[str, Any]]:
    """Trials that look like those of a space of twenty blocks: cost follows the decisions, score follows cost."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 4, size=(n, N_DECISIONS))
    macs = 2e8 + 1e7 * rows.sum(axis=1) + rng.normal(0, 5e6, n)
    scores = 0.6 + 0.2 * (1 - np.exp(-macs / 3e8)) + rng.normal(0, 0.02, n)
    return [
        {
            "number": i,
            "metrics": {"top1_accuracy": float(scores[i])},
            "costs": {"macs": float(macs[i]), "params": float(macs[i] / 90), "latency_ms": float(macs[i] / 1e8)},
            "status": "failed" if i % 50 == 0 else "complete",
            "failure": "RunError: the training loss is nan at step 12" if i % 50 == 0 else "",
            "arch": {f"block{k}": f"shuffle{rows[i, k]}" for k in range(N_DECISIONS)},
        }
        for i in range(n)
    ]


def document(n: int) -> dict[str, Any]:
    """A finished run of so many trials, with layers and loss curves."""
    search = trials(n, 0)
    curve = [(step, 1 / (step + 1)) for step in range(100)]
    result = {
        **{"recipe": "spos", "dataset": "mnist5k", "metric": "top1_accuracy", "test": 0.8, "validation": 0.78},
        **{"arch": search[1]["arch"], "macs": 5e8, "params": 5e6},
        "constraints": [{"cost": "macs", "limit": 6e8, "predicted": 5e8, "value": 5e8, "satisfied": True}],
        "random_baseline": {"test": 0.79, "validation": 0.77, "draws": [{"test": 0.78}, {"test": 0.77}]},
    }
    return {
        "result": result,
        "trials": {"search": search, "baseline": trials(n, 1)},
        "layers": [{"layer": f"block{i}", "kind": "Conv2d", "params": i * 100, "macs": i * 1000} for i in range(300)],
        "training": {"supernet": curve, **{f"retrain-draw{k}": curve for k in range(3)}},
    }


def main() -> None:
    from archwright.reports.page import render_page

    print(machine())
    made = document(N_TRIALS)
    page = render_page(made)  # puts the script into the cache, as the first run of an installation does
    report(f"page of {N_TRIALS:,} trials", f"{len(page.encode()) / 1e6:.2f} MB", "under 2 MB")
    taken = seconds(lambda: render_page(made), REPEATS)
    report("time to make it", f"{statistics.median(taken):.1f} s")
    small = document(100)
    taken = seconds(lambda: render_page(small), REPEATS)
    report("time to make one of 100 trials", f"{statistics.median(taken):.1f} s")


if __name__ == "__main__":
    main()
