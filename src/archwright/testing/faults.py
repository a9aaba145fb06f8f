"""Runs that are stopped at chosen moments, resumed, and compared with undisturbed ones.

A recipe's test names its command line and the moments:

    stops = [Stop("supernet", after_s=0.5), Stop("search"), Stop("export", signal=signal.SIGTERM)]
    codes = [stop_at(stop, ["search", "spos", "--preset", "smoke"], folder) for stop in stops]
    main(["search", "spos", "--preset", "smoke", "--out", str(folder), "--resume"])
    assert differences(folder, undisturbed) == []

A run does not know that it is watched: only the files that it writes for people and for resuming are read.
"""

from __future__ import annotations

import json
import os
import signal as signals
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from archwright.core.errors import RunFolderError
from archwright.runs.files import read_json, read_state, read_tensors
from archwright.stores.opening import open_store

POLL_S = 0.005
PATIENCE_S = 300.0
CLOCKS = frozenset({"seconds", "ledger", "duration_s", "latency_ms"})
"""Keys of states and results whose values depend on the clock."""


@dataclass(frozen=True)
class Stop:
    """A moment of a run, and the signal that it gets then.

    Attributes:
        phase: Stop when the run is in this phase; None stops when its folder exists.
        after_s: Seconds to wait after that.
        when_saved: Whether to wait first for a checkpoint of the unfinished phase, so that resuming begins within it.
        when_done: Whether to wait for the end of the phase, so that the run is stopped before the next one.
        signal: The signal to send; SIGKILL leaves no chance to tidy up.
    """

    phase: str | None = None
    after_s: float = 0.0
    when_saved: bool = False
    when_done: bool = False
    signal: signals.Signals = signals.SIGKILL


def stop_at(
    stop: Stop, arguments: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None
) -> int | None:
    """Start or resume `archwright ARGUMENTS --out FOLDER --resume` in a process of its own and stop it.

    Args:
        stop: When and how to stop it.
        arguments: The command without its folder.
        folder: The run's folder.
        environment: Environment variables of the process; None takes those of this one.

    Returns:
        The exit code of the stopped process (the negative number of the signal if that killed it), or None if the run
        ended before that moment.

    Raises:
        TimeoutError: If the moment does not come within five minutes.
    """
    command = [sys.executable, "-m", "archwright", *arguments, "--out", str(folder), "--resume"]
    paths = os.pathsep.join(sys.path)
    surroundings = {**os.environ, "PYTHONPATH": paths, **(environment or {})}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=surroundings, preexec_fn=_heed_interrupts
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _has_come(stop, folder, process.pid):
            if process.poll() is not None:
                return None
            if time.monotonic() > deadline:
                raise TimeoutError(f"{stop} did not come within {PATIENCE_S:.0f} s")
            time.sleep(POLL_S)
        time.sleep(stop.after_s)
        if process.poll() is not None:
            return None
        process.send_signal(stop.signal)
        return process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()


def outcome(
    folder: Path, studies: Sequence[str] = ("search", "baseline"), *, products_only: bool = False
) -> dict[str, Any]:
    """Everything that must be equal in two runs with the same result, by name: tensors too, but no clock readings.

    Args:
        folder: The folder of a finished run.
        studies: Studies whose trials are included.
        products_only: Whether to leave out what only a run in progress needs: checkpoints, and the names of files that
            are not made for the user.
    """
    found = _products(folder) if products_only else {**_products(folder), **_checkpoints(folder)}
    for study in studies:
        with open_store(folder, study) as store:
            found |= {f"{study} trial {t.number}": replace(t, duration_s=0.0) for t in store.trials()}
    return found


def differences(
    one: Path, other: Path, studies: Sequence[str] = ("search", "baseline"), *, products_only: bool = False
) -> list[str]:
    """Names of the results that differ between two finished runs; empty if all bits are the same.

    Args:
        one: The folder of a run.
        other: The folder of another run.
        studies: Studies whose trials are compared.
        products_only: Whether to compare only what the user gets, see `outcome`.
    """
    a, b = (outcome(folder, studies, products_only=products_only) for folder in (one, other))
    return [name for name in sorted(a.keys() | b.keys()) if not _equal(a.get(name), b.get(name))]


def _products(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"report.html": (folder / "report.html").is_file()}
    found["result.json"] = _timeless(read_json(folder / "result.json"))
    for path in sorted(folder.glob("best/**/*.json")):
        found[str(path.relative_to(folder))] = json.loads(path.read_text("utf-8"))
    for path in sorted([*folder.glob("best/**/*.onnx"), *folder.glob("best/**/*.py")]):
        found[str(path.relative_to(folder))] = path.read_bytes()
    for path in sorted(folder.glob("best/**/*.safetensors")):
        found |= _named(str(path.relative_to(folder)), _plain_tensors(path))
    return found


def _checkpoints(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if _stays(p))}
    for path in sorted(folder.glob("checkpoints/*.safetensors")):
        tensors, document = read_tensors(path)
        found[path.name] = _timeless(document)
        found |= _named(path.name, tensors)
    return found


def _heed_interrupts() -> None:
    """A shell lets what it runs in the background ignore SIGINT, and so would every process begun from there."""
    signals.signal(signals.SIGINT, signals.default_int_handler)


def _has_come(stop: Stop, folder: Path, pid: int) -> bool:
    if stop.phase is None:
        return folder.exists()
    try:
        status: Any = read_json(folder / "status.json")
        if status.get("pid") != pid:
            return False  # what an earlier process left
        if not stop.when_saved and not stop.when_done:
            return bool(status.get("phase") == stop.phase)
        is_done = read_state(folder / "checkpoints" / f"{stop.phase}.safetensors")["is_done"]
    except (RunFolderError, AttributeError):
        return False
    return bool(is_done) == stop.when_done


def _stays(path: Path) -> bool:
    """Whether a file belongs to a run for good: a database's side files come and go."""
    return path.is_file() and not path.name.endswith(("-wal", "-shm", "-journal"))


def _plain_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _named(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    return ((f"{prefix}: {name}", tensor) for name, tensor in tensors.items())


def _timeless(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {name: _timeless(value) for name, value in document.items() if name not in CLOCKS}
    return [_timeless(item) for item in document] if isinstance(document, list) else document


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        # bit patterns: a not-a-number equals itself, and 0 differs from -0
        bits = [tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
    return bool(one == other)
