"""The demo's search with five seeds: test accuracy, and accuracy on MNIST's own 10,000 test images.

Those images are used nowhere else. They are read from ARCHWRIGHT_DATA/mnist/mnist.npz; without it that column is
left out. Runs are kept under runs/bench-demo and continued where they were stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from archwright.finish.result import open_winner
from archwright.tasks import open_task
from common import archwright, data_folder, machine, mean_interval, report

SEEDS = range(5)
LIMIT = "4.7M"


def main() -> None:
    print(machine())
    rows = [demo(seed, Path("runs/bench-demo") / str(seed)) for seed in SEEDS]
    report(
        "demo winner, test accuracy, mean of five seeds", mean_interval([row["test"] for row in rows]), "at least 0.986"
    )
    report("random search, equal budget", mean_interval([row["baseline"] for row in rows]))
    report("plain network, as long a training", mean_interval([row["plain"] for row in rows]))
    if rows[0]["mnist"] is not None:
        report(
            "demo winner on MNIST's own 10,000 test images",
            mean_interval([row["mnist"] for row in rows]),
            "at least 0.984",
        )
    report("wall time of all phases", ", ".join(f"{row['wall_s']:.0f} s" for row in rows), "under 5 min")


def demo(seed: int, out: Path) -> dict:
    """One run and what came out of it."""
    command = archwright("search", "auto", "--data", "mnist5k", "--preset", "quick", "--max-macs", LIMIT)
    subprocess.run([*command, "--seed", str(seed), "--out", str(out), "--resume"], check=True, stdout=sys.stderr)
    record = json.loads((out / "result.json").read_text())
    wall_s = sum(entry["wall_s"] for entry in record["ledger"].values())
    found = {
        "test": record["test"],
        "baseline": record["random_baseline"]["test"],
        "plain": record["plain_baseline"]["test"],
        "mnist": mnist_accuracy(out),
        "wall_s": wall_s,
    }
    report(f"seed {seed}", ", ".join(f"{key} {value}" for key, value in found.items()))
    return found


def mnist_accuracy(out: Path) -> float | None:
    """Accuracy of a run's winner on the original test images."""
    folder = data_folder()
    if folder is None or not (folder / "mnist" / "mnist.npz").exists():
        return None
    with np.load(folder / "mnist" / "mnist.npz", allow_pickle=False) as arrays:
        images, labels = arrays["test_x"], arrays["test_y"]
    preprocessing = open_task("mnist5k").preprocessing
    _, network, _ = open_winner(out)
    x = torch.from_numpy(images).float()[:, None] * preprocessing["scale"]
    x = (x - preprocessing["mean"][0]) / preprocessing["std"][0]
    with torch.inference_mode():
        predicted = torch.cat([network(batch).argmax(1) for batch in x.split(500)])
    return float((predicted == torch.from_numpy(labels.astype(np.int64))).float().mean())


if __name__ == "__main__":
    main()
