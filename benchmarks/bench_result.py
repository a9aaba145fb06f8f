"""Is the network of a whole search better than a plain one that was trained for all of the search's time?

usage: bench_result.py DATA [CASE ...]     (DATA: a folder with mnist/mnist.npz and an images.npz of CIFAR-10)

For each case and seed, two commands are executed, one after the other: `archwright search auto … --time T`, and
`archwright train plain-chain:… --time T` for the plain network that the search itself compared its winner with, with
all of T for its one training. Differences are paired: the same images, the same seeds; intervals are of 95 %, by a
bootstrap over images and seeds.

What was measured is kept in results/result.json, with the machine: which test images were right, costs, minutes. The
script executes what is not there yet and reports all of it, so it goes on where it was stopped, also elsewhere. Runs
stand under runs/bench-result until they are over. Cases whose data are missing are only reported.
"""

from __future__ import annotations

import base64
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
KEPT = Path(__file__).parent / "results" / "result.json"
N_RESAMPLED = 4000
Hits = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One comparison: data, limit, time, seeds, further options of both commands."""

    name: str
    data: str
    limit: str
    time: str
    seeds: int = 3
    options: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        return not self.data.startswith("npz:") or Path(self.data.removeprefix("npz:")).exists()


def cases(data: Path) -> list[Case]:
    sources = {"mnist5k": "mnist5k", "digits": "digits", "mnist10k": f"npz:{_mnist(data)}"}
    timed = [Case(f"{name}-{limit}", source, limit, "3m") for name, source in sources.items() for limit in ("2M", "8M")]
    cifar = Case("cifar-8M", f"npz:{data / 'images.npz'}", "8M", "10m", options=("--augment", "crop,mirror"))
    return [*timed, cifar]


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
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    chosen = [case for case in cases(data) if case.name in names or not names]
    every = [(seed, case) for case in chosen for seed in range(case.seeds) if case.is_there]
    for seed, case in sorted(every, key=lambda one: one[0]):  # stopped early, each case has about as many seeds
        if f"{case.name}/{seed}" not in kept:
            kept[f"{case.name}/{seed}"] = measure(case, seed)
            KEPT.parent.mkdir(exist_ok=True)
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    for case in chosen:
        tell(case, [kept[key] for key in sorted(kept) if key.startswith(f"{case.name}/")])


# ── measuring ─────────────────────────────────────────────────────────────────────────────────────


def measure(case: Case, seed: int) -> dict[str, Any]:
    """One seed: the search, and the plain network with all of the time."""
    folder = FOLDER / case.name / str(seed)
    common = ["--data", case.data, "--time", case.time, *case.options, "--seed", str(seed)]
    searched = done(folder / "search", ["search", "auto", "--max-macs", case.limit, *common])
    record = json.loads((searched / "result.json").read_text())
    plain, task = record["plain_baseline"], open_task(case.data, seed=seed)
    space = open_space(plain["space"], **task.space_args())
    found = {
        "machine": machine(),
        "winner": {**costs(record), "minutes": spent(record), "steps": record["n_final_steps"]},
        "baseline": record["random_baseline"]["test"],
        "plain": {"macs": plain["macs"]},
        "hits": packed(hits(searched)),
        "plain hits": packed(plain_hits(searched, space.build(plain["arch"]), task)),
    }
    alone = done(folder / "plain", ["train", f"{plain['space']}:{space.code(plain['arch'])}", *common])
    trained = json.loads((alone / "result.json").read_text())
    found["alone"] = {**costs(trained), "minutes": spent(trained), "steps": trained["n_final_steps"]}
    found["alone hits"] = packed(hits(alone))
    return found


def done(folder: Path, command: list[str]) -> Path:
    """The folder of a command, executed unless it was."""
    if not (folder / "result.json").exists():
        whole = [sys.executable, "-m", "archwright", *command, "--out", str(folder), "--resume"]
        subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
    return folder


def hits(folder: Path) -> Hits:
    """Whether each test image was put into its class, from the one reading of the test part."""
    kept = safetensors.torch.load_file(folder / "predictions.safetensors")
    return np.asarray(kept["predictions"] == kept["labels"])


def plain_hits(folder: Path, network: Any, task: Any) -> Hits:
    """The same of the plain network beside a search, from its stored weights."""
    load_network(network, safetensors.torch.load_file(folder / "checkpoints" / "retrain-plain.safetensors"))
    recording = Recording(task)
    evaluate(network, task, "test", meter=recording)
    kept = recording.kept()
    return np.asarray(kept["predictions"] == kept["labels"])


def costs(record: dict[str, Any]) -> dict[str, float]:
    return {"macs": record["macs"], "latency_ms": record["latency_ms"]["onnxruntime"]["median"]}


def spent(record: dict[str, Any]) -> float:
    return round(sum(entry["wall_s"] for entry in record["ledger"].values()) / 60, 3)


def packed(found: Hits) -> dict[str, Any]:
    return {"n": len(found), "bits": base64.b64encode(np.packbits(found).tobytes()).decode()}


# ── reporting ─────────────────────────────────────────────────────────────────────────────────────


def tell(case: Case, found: list[dict[str, Any]]) -> None:
    if not found:
        return
    winners, beside = matrix(found, "hits"), matrix(found, "plain hits")
    baseline = np.mean([one["baseline"] for one in found])
    report(f"{case.name}: winner", f"{spread(winners)}; random search {baseline:.4f}", f"{len(found)} of {case.seeds}")
    report(f"{case.name}: winner - plain, as long a training", difference(winners, beside), "not below 0")
    report(f"{case.name}: minutes of the search", listed(one["winner"]["minutes"] for one in found), case.time)
    alone = matrix(found, "alone hits")
    report(f"{case.name}: plain, all of {case.time}", spread(alone), "")
    report(f"{case.name}: winner - plain, all of {case.time}", difference(winners, alone), "not below 0")
    for what, key, scale in (("macs, M", "macs", 1e-6), ("ONNX Runtime, ms", "latency_ms", 1.0)):
        both = [listed(one[name][key] * scale for one in found) for name in ("winner", "alone")]
        report(f"{case.name}: {what}, winner / plain", " / ".join(both), "")


def matrix(found: list[dict[str, Any]], key: str) -> Hits:
    """Hits (seeds, images)."""
    return np.array(
        [
            np.unpackbits(np.frombuffer(base64.b64decode(one[key]["bits"]), np.uint8), count=one[key]["n"]).astype(bool)
            for one in found
        ]
    )


def listed(values: Any) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def spread(found: Hits) -> str:
    means = found.mean(axis=1)
    return f"{means.mean():.4f} ({', '.join(f'{one:.4f}' for one in means)})"


def difference(one: Hits, other: Hits) -> str:
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
