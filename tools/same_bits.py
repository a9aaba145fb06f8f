"""Compare smoke runs of two checkouts of archwright: the same commands must come to the same bits.

usage: same_bits.py REFERENCE [--keep FOLDER] [--only NAME ...]

REFERENCE is another checkout, e.g. made by `git worktree add ../reference COMMIT`. Each command runs once in either
tree, in the same environment, on one thread. Compared are the trials of every study, the weights in checkpoints and in
best/, and all that the reference's result.json holds (keys may have been added here); clocks are left out. The exit
code is 1 where anything differs, and each difference is named.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

SMOKE = ("--preset", "smoke", "--seed", "3", "--threads", "1")
COMMANDS: dict[str, tuple[str, ...]] = {
    "spos": ("search", "spos", "--data", "digits", "--max-macs", "4M", *SMOKE),
    "spos-nasbench201": ("search", "spos", "--space", "nasbench201", "--data", "digits", *SMOKE),
    "spos-bits": ("search", "spos", "--space", "spos-bits", "--data", "digits", *SMOKE),
    "random": ("search", "random", "--space", "spos", "--data", "digits", *SMOKE),
    "grid": ("search", "grid", "--space", "spos", "--data", "digits", *SMOKE),
    "regularized-evolution": ("search", "regularized-evolution", "--space", "spos", "--data", "digits", *SMOKE),
    "random-text": ("search", "random", "--space", "darts-rnn", "--data", "pydoc", *SMOKE),
    "train": ("train", "spos:3020003011", "--data", "digits", *SMOKE),
    "train-nasnet": ("train", "nasnet-a-6-768", "--data", "digits", *SMOKE),
}
MAY_DIFFER = frozenset({"duration_s", "ledger", "latency_ms", "seconds", "n_steps"})


def run(tree: Path, arguments: tuple[str, ...], folder: Path) -> None:
    """Run one command with the package of a tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "archwright", *arguments, "--out", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree}: {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")


def differing(here: Any, there: Any, name: str) -> Iterator[str]:
    """Names of what the reference holds and this tree has otherwise."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key, value in there.items():
            if key not in MAY_DIFFER:
                yield from differing(here.get(key), value, f"{name}.{key}")
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for i, (a, b) in enumerate(zip(here, there, strict=True)):
            yield from differing(a, b, f"{name}[{i}]")
    elif here != there:
        yield f"{name}: {str(here)[:60]!r} here, {str(there)[:60]!r} there"


def tensors(folder: Path) -> dict[str, bytes]:
    """The bits of every tensor of a run: of its checkpoints and of best/."""
    from safetensors.torch import load_file

    found = {}
    for path in sorted([*folder.glob("checkpoints/*.safetensors"), *folder.glob("best/*.safetensors")]):
        for name, tensor in load_file(path).items():
            found[f"{path.name}: {name}"] = tensor.contiguous().numpy().tobytes()
    return found


def trials(folder: Path) -> dict[str, Any]:
    """What each trial came to, by study and number; rows are read without this tree's checks of the schema."""
    import sqlite3

    with sqlite3.connect(folder / "trials.sqlite") as connection:
        rows = connection.execute("SELECT study, number, arch, seed, status, metrics, costs, failure FROM trials")
        return {f"{study} {number}": list(rest) for study, number, *rest in rows}


def compare(here: Path, there: Path) -> list[str]:
    """Differences between two finished runs."""
    import json

    a, b = (json.loads((folder / "result.json").read_text("utf-8")) for folder in (here, there))
    found = list(differing(a, b, "result.json"))
    ours, theirs = tensors(here), tensors(there)
    found += [name for name in theirs if ours.get(name) != theirs[name]]
    if (there / "trials.sqlite").exists():
        found += list(differing(trials(here), trials(there), "trials"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the runs; those of the reference there are used again")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        all_differences = []
        for name in options.only:
            reference, own = base / "reference" / name, Path(temporary) / "own" / name
            if not (reference / "result.json").exists():
                run(options.reference, COMMANDS[name], reference)
            run(ROOT, COMMANDS[name], own)
            found = compare(own, reference)
            print(f"{name}: {'the same bits' if not found else f'{len(found)} differences'}", flush=True)
            print("".join(f"    {line}\n" for line in found[:8]), end="")
            all_differences += found
    sys.exit(bool(all_differences))


if __name__ == "__main__":
    main()
