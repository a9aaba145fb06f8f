"""Is the network of a whole search better than a plain one that was trained for all of the search's time?

usage: bench_result.py DATA [CASE ...]     (DATA: a folder with mnist/mnist.npz and an images.npz of CIFAR-10)

For each case and seed, two commands are executed, one after the other: `archwright search auto … --time T`, and
`archwright train plain-chain:… --time T` for the plain network that the search itself compared its winner with, with
all of T for its one training. Results are kept under runs/bench-result, and finished ones are read again, so the script
goes on where it was stopped. Differences are paired: the same images, the same seeds; intervals are of 95 %, by a
bootstrap over images and seeds. Cases whose data are missing are skipped.

`quick` cases time the preset itself: `archwright search auto --preset quick`, five seeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray

from archwright.finish.predictions import Recording
from archwright.spaces.opening import open_space
from archwright.tasks import open_task
from archwright.training.checkpoint import load_network
from archwright.training.evaluate import evaluate
from common import machine, report

FOLDER = Path("runs/bench-result")
N_RESAMPLED = 4000


@dataclass(frozen=True)
class Case:
    """One comparison: data, limit, time, seeds, further options of both commands."""

    name: str
    data: str
    limit: str
    time: str
    seeds: int = 3
    options: tuple[str, ...] = ()


def cases(data: Path) -> list[Case]:
    mnist, cifar = f"npz:{_mnist(data)}", f"npz:{data / 'images.npz'}"
    found = [
        Case(f"{name}-{limit}", source, limit, "3m")
        for name, source in (("mnist5k", "mnist5k"), ("digits", "digits"), ("mnist10k", mnist))
        for limit in ("2M", "8M")
    ]
    found.append(Case("cifar-8M", cifar, "8M", "10m", options=("--augment", "crop,mirror")))
    found += [
        Case(f"quick-{name}", source, "4.7M", "", 5) for name, source in (("mnist5k", "mnist5k"), ("mnist10k", mnist))
    ]
    return [case for case in found if not case.data.endswith(".npz") or Path(case.data.removeprefix("npz:")).exists()]


def _mnist(data: Path) -> Path:
    """MNIST with its first 10,000 training images, as `--data npz:PATH` reads it."""
    source, made = data / "mnist" / "mnist.npz", FOLDER / "mnist10k.npz"
    if source.exists() and not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with np.load(source) as whole:
            part = {"x_train": whole["train_x"][:10_000], "y_train": whole["train_y"][:10_000]}
            np.savez(made, **part, x_test=whole["test_x"], y_test=whole["test_y"])
    return made


def main() -> None:
    data, names = Path(sys.argv[1]), sys.argv[2:]
    print(machine())
    for case in cases(data):
        if not names or case.name in names:
            measure(case)


def measure(case: Case) -> None:
    searched = [search(case, seed) for seed in range(case.seeds)]
    winners = np.array([hits(folder) for folder in searched])
    records = [json.loads((folder / "result.json").read_text()) for folder in searched]
    if not case.time:
        minutes = [spent(record) / 60 for record in records]
        report(f"{case.name}: accuracy, time", f"{spread(winners)}; {np.mean(minutes):.1f} min", "0.986, 0.984")
        return
    beside = np.array([plain_hits(folder, case) for folder in searched])
    alone = np.array([hits(train_plain(case, seed, folder)) for seed, folder in enumerate(searched)])
    report(f"{case.name}: winner", spread(winners), "")
    report(f"{case.name}: winner - plain, as long a training", difference(winners, beside), "not below 0")
    report(f"{case.name}: winner - plain, all of {case.time}", difference(winners, alone), "not below 0")
    for what, cost in (("macs, M", lambda one: one["macs"] / 1e6), ("ONNX Runtime, ms", latency)):
        pairs = ", ".join(f"{cost(one):.3g}" for one in records)
        report(f"{case.name}: {what}", pairs, "")
    plains = ", ".join(f"{one['plain_baseline']['macs'] / 1e6:.3g}" for one in records)
    report(f"{case.name}: macs of plain, M", plains, "")
    minutes = ", ".join(f"{spent(one) / 60:.2f}" for one in records)
    report(f"{case.name}: minutes of the search", minutes, case.time)


def search(case: Case, seed: int) -> Path:
    """The folder of a search, executed or found."""
    folder = FOLDER / case.name / str(seed) / "search"
    length = ("--time", case.time) if case.time else ("--preset", "quick")
    command = ["search", "auto", "--data", case.data, "--max-macs", case.limit, *length, *case.options]
    return done(folder, [*command, "--seed", str(seed)])


def train_plain(case: Case, seed: int, searched: Path) -> Path:
    """The folder of the plain network that was trained for all of the time."""
    plain = json.loads((searched / "result.json").read_text())["plain_baseline"]
    task = open_task(case.data, seed=seed)
    space = open_space(plain["space"], **task.space_args())
    code = f"{plain['space']}:{space.code(plain['arch'])}"
    command = ["train", code, "--data", case.data, "--time", case.time, *case.options, "--seed", str(seed)]
    return done(FOLDER / case.name / str(seed) / "plain", command)


def done(folder: Path, command: list[str]) -> Path:
    if not (folder / "result.json").exists():
        whole = [sys.executable, "-m", "archwright", *command, "--out", str(folder), "--resume"]
        subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
    return folder


def hits(folder: Path) -> NDArray[np.bool_]:
    """Whether each test image was put into its class, from the one reading of the test part."""
    kept = safetensors.torch.load_file(folder / "predictions.safetensors")
    return np.asarray(kept["predictions"] == kept["labels"])


def plain_hits(folder: Path, case: Case) -> NDArray[np.bool_]:
    """The same of the plain network beside a search, from its stored weights."""
    record = json.loads((folder / "result.json").read_text())
    task = open_task(case.data, seed=record["seed"])
    plain = record["plain_baseline"]
    network = open_space(plain["space"], **task.space_args()).build(plain["arch"])
    load_network(network, safetensors.torch.load_file(folder / "checkpoints" / "retrain-plain.safetensors"))
    recording = Recording(task)
    evaluate(network, task, "test", meter=recording)
    kept = recording.kept()
    return np.asarray(kept["predictions"] == kept["labels"])


def latency(record: dict[str, Any]) -> float:
    return float(record["latency_ms"]["onnxruntime"]["median"])


def spent(record: dict[str, Any]) -> float:
    return float(sum(entry["wall_s"] for entry in record["ledger"].values()))


def spread(found: NDArray[np.bool_]) -> str:
    means = found.mean(axis=1)
    return f"{means.mean():.4f} ({', '.join(f'{one:.4f}' for one in means)})"


def difference(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> str:
    """Mean difference of two sets of networks on the same images, and its interval."""
    delta, rng = one.astype(np.int8) - other.astype(np.int8), np.random.default_rng(0)
    seeds, images = delta.shape
    means = [
        delta[rng.integers(seeds, size=seeds)][:, rng.integers(images, size=images)].mean() for _ in range(N_RESAMPLED)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{delta.mean():+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
