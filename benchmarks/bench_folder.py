"""Images from folders: memory of an epoch over 10,000 and 100,000 files, and the `paper` preset at 224 pixels.

usage: bench_folder.py [memory|paper]

Both generate their files in a temporary folder (TMPDIR=/dev/shm makes that quick). The second takes 20 steps of the
SPOS `paper` preset, with a batch that two cores can do in minutes (the paper's is 1,024).
"""

from __future__ import annotations

import io
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from common import THREADS, machine, report

SIZES = (10_000, 100_000)
N_BATCHES = 348  # an epoch of the larger tree; the smaller one is passed as often, so that only the files are more
STEPS, BATCH = 20, 32

# An empty process for each size: a peak cannot be taken back.
EPOCH = """
import json, resource, sys, time
import torch
torch.set_num_threads(1)
from archwright.tasks import folder

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak_mb()
started = time.perf_counter()
task = folder(sys.argv[1])
opened, opened_mb, split = time.perf_counter(), peak_mb(), task.split("train")
n = sum(len(targets) for _, targets in split.batches(256, seed=0, n_steps=int(sys.argv[2])))
done = time.perf_counter()
listed = sum(files.nbytes for files in task._files.values())
print(json.dumps({"before": before, "opened": opened_mb, "peak": peak_mb(), "listed": listed,
                  "open_s": opened - started, "images": n, "images_s": n / (done - opened)}))
"""


def write_tree(root: Path, counts: dict[str, int], *, n_classes: int, side: int, n_distinct: int = 64) -> None:
    """PART/CLASS/NUMBER.jpg, `counts` images of each class; they repeat some distinct ones, which is quick."""
    rng, contents = np.random.default_rng(0), []
    for _ in range(n_distinct):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((side, side))
        coarse.save(stream := io.BytesIO(), "JPEG")
        contents.append(stream.getvalue())
    drawn = itertools.cycle(contents)
    for part, n in counts.items():
        for label in range(n_classes):
            folder = root / part / f"class{label:04d}"
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"image_{label:04d}_{i:06d}.jpg").write_bytes(next(drawn))


def memory() -> None:
    """Peak memory of one epoch at both sizes; what grows should be the list of files alone."""
    found = {}
    for n in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write_tree(Path(folder), {"train": n // 100 - 10, "test": 10}, n_classes=100, side=32)
            command = [sys.executable, "-c", EPOCH, folder, str(N_BATCHES)]
            found[n] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        figures = found[n]
        report(
            f"{figures['images']:,} images streamed from {n:,} files of 32x32",
            f"peak {figures['peak']:.0f} MB ({figures['before']:.0f} MB with torch imported, "
            f"{figures['opened']:.0f} MB with the folder opened), "
            f"{figures['images_s']:,.0f} images/s, opened in {figures['open_s']:.1f} s",
        )
    few, many = (found[n] for n in SIZES)
    grown = (many["peak"] - few["peak"]) * 1024**2 / (SIZES[1] - SIZES[0])
    listed = (many["listed"] - few["listed"]) / (SIZES[1] - SIZES[0])
    report("growth of the peak", f"{grown:.0f} bytes a file (the list of paths takes {listed:.0f})", "flat")


def paper() -> None:
    """20 steps of the paper's supernet training on 1,000 classes at 224 pixels."""
    import torch

    from archwright.costs import Macs
    from archwright.policies.uniform import UniformInCostBins
    from archwright.recipes import SposConfig
    from archwright.spaces import SposSpace
    from archwright.tasks import folder
    from archwright.training.networks import build_seeded
    from archwright.weight_sharing import UniformPath

    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as root:
        write_tree(Path(root), {"train": 4, "val": 1}, n_classes=1000, side=256)
        started = time.perf_counter()
        task = folder(root)
        opened_s = time.perf_counter() - started
        config = SposConfig.preset("paper", task.input_shape)
        training = replace(config.supernet, steps=STEPS, batch_size=BATCH)
        space = SposSpace(input_shape=task.input_shape, n_classes=task.n_classes).search_form()
        supernet = build_seeded(space, None, 0)
        policy = UniformInCostBins(space, Macs(), config.bin_edges)
        log = UniformPath(training).fit(supernet, policy, task, seed=0)
    losses = [point[1] for point in log.curve]
    report(
        f"spos paper preset, {task.n_classes:,} classes, {task.input_shape}, batch {BATCH} instead of "
        f"{config.supernet.batch_size:,}, {STEPS} steps",
        f"loss {losses[0]:.2f} to {losses[-1]:.2f}, finite: {all(map(math.isfinite, losses))}; "
        f"{STEPS * BATCH / log.seconds:.1f} images/s; opened in {opened_s:.1f} s",
        "finite",
    )


def main() -> None:
    print(machine())
    chosen = sys.argv[1:] or ["memory", "paper"]
    for name in chosen:
        {"memory": memory, "paper": paper}[name]()


if __name__ == "__main__":
    main()
