"""What surviving a crash costs the demo's supernet: a checkpoint's time and size, and the time until it trains again.

Runs are written below the current folder, so that the disk is the one that is measured and no memory file system.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from archwright.core.errors import RunFolderError
from archwright.policies import Uniform
from archwright.recipes import SposConfig
from archwright.runs.files import read_json, read_state
from archwright.runs.phase import Phase
from archwright.runs.run import open_run
from archwright.spaces.spos import SposSpace
from archwright.tasks import open_task
from archwright.testing.faults import Stop, stop_at
from archwright.training.networks import build_seeded
from archwright.weight_sharing import UniformPath
from common import THREADS, archwright, machine, report

STEPS, RESUMPTIONS, PATIENCE_S = 31, 5, 120.0
DEMO = ("search", "spos", "--data", "mnist5k", "--preset", "quick", "--max-macs", "4.7M", "--seed", "0")


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        checkpoints(Path(folder, "checkpoints"))
        resumption(Path(folder, "resumption"))


def checkpoints(folder: Path) -> None:
    """A training that is saved after every step: weights, momentum, state, flushed to the disk."""
    task = open_task("mnist5k", seed=0)
    config = SposConfig.preset("quick", task.input_shape)
    space = SposSpace(input_shape=task.input_shape, n_classes=task.n_classes).search_form()
    supernet, path = build_seeded(space, None, 0), folder / "checkpoints" / "supernet.safetensors"
    taken: list[float] = []
    sizes: list[int] = []
    save = Phase.checkpoint

    def timed(phase: Phase, *arguments: object, **others: object) -> None:
        started = time.perf_counter()
        save(phase, *arguments, **others)
        taken.append(time.perf_counter() - started)
        sizes.append(path.stat().st_size)

    Phase.checkpoint = timed
    try:
        with open_run(folder, {}, seed=0, checkpoint_every_s=0.0) as run, run.phase("supernet", total=STEPS) as phase:
            training = UniformPath(replace(config.supernet, steps=STEPS, warmup_steps=0))
            training.fit(supernet, Uniform(space), task, seed=0, phase=phase)
    finally:
        Phase.checkpoint = save
    later = sorted(taken[1:])  # the first makes the folder
    spread = f"{1e3 * later[0]:.0f} to {1e3 * later[-1]:.0f}"
    every_s = 20.0
    share = statistics.median(later) / every_s
    report(
        f"checkpoint of the demo's supernet, flushed, median of {len(later)}",
        f"{1e3 * statistics.median(later):.0f} ms ({spread}), {share:.2%} of the time at one each {every_s:.0f} s",
    )
    weights = sum(tensor.numel() * tensor.element_size() for tensor in supernet.state_dict().values())
    report("its size", f"{sizes[-1] / 1e6:.1f} MB, of which weights {weights / 1e6:.1f} MB")


def resumption(folder: Path) -> None:
    """From the start of `archwright … --resume` to the first step that was not in the checkpoint."""
    command = (*DEMO, "--threads", str(THREADS))
    code = stop_at(Stop("supernet", when_saved=True), command, folder)
    assert code is not None, "the run came to its end before its supernet was saved"
    saved = read_state(folder / "checkpoints" / "supernet.safetensors")["state"]["step"]
    taken = []
    for number in range(RESUMPTIONS):
        copy = folder.with_name(f"copy-{number}")
        shutil.copytree(folder, copy)
        taken.append(resumed_s(archwright(*command, "--out", str(copy), "--resume"), copy, saved))
    report(
        f"from --resume to training again, from step {saved}, median of {RESUMPTIONS}",
        f"{statistics.median(taken):.1f} s ({min(taken):.1f} to {max(taken):.1f})",
    )


def resumed_s(command: list[str], folder: Path, saved: int) -> float:
    """Wall time until the status says that a step was done; it is written once a second at most."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - started < PATIENCE_S and process.poll() is None:
            try:
                status = read_json(folder / "status.json")
            except RunFolderError:
                status = {}
            if status.get("pid") == process.pid and status.get("done", 0) > saved:
                return time.perf_counter() - started
            time.sleep(0.01)
        raise TimeoutError(f"no step was done within {PATIENCE_S:.0f} s")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
