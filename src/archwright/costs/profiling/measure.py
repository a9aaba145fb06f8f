"""Time the parts of this folder in ONNX Runtime, on the machine where the script runs.

    python3 measure.py [--threads N] [--repeats N] [--out FILE]

`archwright profile SPACE --bundle DIR` wrote the folder. Python 3.8 or newer, onnxruntime and numpy are all that is
needed. The file of measurements is written after each part; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import gc
import glob
import hashlib
import json
import os
import platform
import sys
import time
from typing import Any

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    sys.exit(f"error: {error}; install what is needed: python3 -m pip install onnxruntime numpy")

FORMAT = 1
CPUFREQ = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/"


class _Problem(Exception):
    """What keeps the script from going on, in one line."""


# --- what is to be timed -----------------------------------------------------------------------------------------


def _read_bundle(folder: str) -> dict[str, Any]:
    """The bundle's description; Problem if it is missing, damaged, or its files are not those it was written with."""
    path = os.path.join(folder, "bundle.json")
    bundle = _read_object(path)
    plain = {name: value for name, value in bundle.items() if name != "sha256"}
    if hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest() != bundle.get("sha256"):
        raise _Problem(f"{path} is damaged or was changed; copy the folder again")
    if bundle.get("format") != FORMAT:
        raise _Problem(f"{path} is in format {bundle.get('format')!r}; this script reads format {FORMAT}")
    for file in bundle["weights"] + bundle["parts"]:
        if _digest(os.path.join(folder, file["file"])) != file["sha256"]:
            raise _Problem(f"{file['file']} is damaged or was changed; copy the folder again")
    return bundle


def _read_object(path: str) -> dict[str, Any]:
    """The JSON object in a file; Problem if there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise _Problem(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise _Problem(f"{path} holds no JSON object")
    return document


def _digest(path: str) -> str:
    """SHA-256 of a file; Problem if it cannot be read."""
    found = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                found.update(block)
    except OSError as error:
        raise _Problem(f"{path} cannot be read: {error.strerror}; copy the folder again") from None
    return found.hexdigest()


def _example(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """One input of each kind by name: normal numbers, tokens, truth values of which the first is true."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for spec in inputs:
        shape = [1, *spec["shape"]]
        if spec["dtype"] == "float32":
            found[spec["name"]] = rng.standard_normal(shape, dtype=np.float32)
        elif spec["dtype"] == "int64":
            found[spec["name"]] = rng.integers(spec["n_tokens"] or 1, size=shape, dtype=np.int64)
        else:
            found[spec["name"]] = rng.integers(2, size=shape).astype(bool)
            found[spec["name"]][..., :1] = True
    return found


# --- where it is timed -------------------------------------------------------------------------------------------


def _machine() -> dict[str, Any]:
    """Facts about this machine that stay; None for what the system does not tell."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
    }


def _processor() -> str | None:
    """Name of the board or the processor."""
    board = _text_of("/proc/device-tree/model")
    if board:
        return board.strip("\0 \n")
    for line in (_text_of("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Hardware", "cpu model"):
            return value.strip()
    return platform.processor() or None


def _clock() -> dict[str, Any]:
    """Governors and megahertz of each processor, and what else runs; None for what the system does not tell."""
    governors = [_text_of(path) for path in sorted(glob.glob(CPUFREQ + "scaling_governor"))]
    said = (_text_of("/proc/cpuinfo") or "").splitlines()
    reported = [round(float(line.split(":")[1])) for line in said if line.startswith("cpu MHz")]
    return {
        "governors": sorted({one.strip() for one in governors if one}) or None,
        "current_mhz": _megahertz("scaling_cur_freq") or reported or None,
        "max_mhz": _megahertz("scaling_max_freq") or None,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _megahertz(name: str) -> list[int]:
    """A frequency of each processor, as Linux tells it in kilohertz."""
    texts = [_text_of(path) for path in sorted(glob.glob(CPUFREQ + name))]
    return [round(int(text) / 1000) for text in texts if text and text.strip().isdigit()]


def _text_of(path: str) -> str | None:
    """The text of a system's file; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


# --- timing ------------------------------------------------------------------------------------------------------


def _timed(folder: str, part: dict[str, Any], settings: dict[str, int]) -> dict[str, Any]:
    """Milliseconds of a part: median, and what one and nine in ten passes stay below."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = os.path.join(folder, part["file"])
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = _example(part["inputs"])
        times = _passes(session, feed, settings["warmup"], settings["repeats"])
    except Exception as error:  # its errors share no base class
        raise _Problem(f"{part['file']} cannot be run: {' '.join(str(error).split())}") from None
    low, median, high = (float(value) for value in np.percentile(times, [10, 50, 90]))
    return {"median": median, "p10": low, "p90": high, "repeats": len(times)}


def _passes(session: Any, feed: dict[str, Any], warmup: int, repeats: int) -> list[float]:
    """Milliseconds of each pass after the warm-up."""
    for _ in range(warmup):
        session.run(None, feed)
    found = []
    was_enabled = gc.isenabled()
    gc.disable()  # a collection in between would be taken for the network's time
    try:
        for _ in range(repeats):
            started = time.perf_counter()
            session.run(None, feed)
            found.append(1e3 * (time.perf_counter() - started))
    finally:
        if was_enabled:
            gc.enable()
    return found


# --- the file of measurements ------------------------------------------------------------------------------------


def _begun(path: str, bundle: dict[str, Any], settings: dict[str, int]) -> dict[str, Any]:
    """The measurements so far; Problem if those in the file were made of another bundle, or in another way."""
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    new = {
        "format": FORMAT,
        "unit": bundle["unit"],
        "bundle_sha256": bundle["sha256"],
        "settings": settings,
        "machine": _machine(),
        "versions": versions,
        "runs": [],
        "parts": {},
        "bundle": bundle,
    }
    if not os.path.lexists(path):
        return new
    old = _read_object(path)
    for name in ("format", "unit", "bundle_sha256", "settings", "machine", "versions"):
        if old.get(name) != new[name]:
            raise _Problem(
                f"{path} has {name} {json.dumps(old.get(name))}, this run {json.dumps(new[name])}; "
                "measure in the same way, or give another --out"
            )
    return old


def _write(path: str, document: dict[str, Any]) -> None:
    """Replace the file, atomically."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=1, allow_nan=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _Problem(f"{path} cannot be written: {error.strerror}; give another --out") from None
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _measure(folder: str, out: str, settings: dict[str, int], bundle: dict[str, Any]) -> None:
    """Time every part that is not in the file yet; the reference part at the start, in the middle and at the end."""
    document = _begun(out, bundle, settings)
    done, n_parts = document["parts"], len(bundle["parts"])
    waiting = [part for part in bundle["parts"] if part["key"] not in done]
    reference = next(part for part in bundle["parts"] if part["key"] == bundle["reference"])
    if waiting:
        run: dict[str, Any] = {"began": _now(), "clock_before": _clock(), "reference": [], "clock_after": None}
        document["runs"].append(run)
        _write(out, document)  # what cannot be written is known before anything is timed
        for i, part in enumerate([*waiting, None]):
            if i in (0, len(waiting) // 2, len(waiting)):
                run["reference"].append({"after": i, **_timed(folder, reference, settings)})
            if part is not None:
                found = done[part["key"]] = _timed(folder, part, settings)
                print(f"{len(done)}/{n_parts}  {found['median']:9.4g} ms  {part['what']}", flush=True)
            else:
                run["clock_after"] = _clock()
            _write(out, document)
    medians = [one["median"] for run in document["runs"] for one in run["reference"]]
    times = f"{min(medians):.4g} to {max(medians):.4g} ms"
    print(f"{out} has all {n_parts} parts; one network, timed again and again, took {times}")


def _now() -> str:
    """The time of day, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _number(text: str) -> int:
    """A positive whole number of the command line."""
    if not text.isdigit() or not 0 < int(text) < 1000000:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def main() -> int:
    """Read the command line, measure, and give the exit code."""
    folder = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="Time the parts of this folder in ONNX Runtime.")
    parser.add_argument("--threads", type=_number, metavar="N", help="threads of one pass")
    parser.add_argument("--repeats", type=_number, metavar="N", help="timed passes of each part")
    parser.add_argument("--out", metavar="FILE", default=os.path.join(folder, "measurements.json"))
    given = parser.parse_args()
    try:
        bundle = _read_bundle(folder)
        settings = {name: getattr(given, name, None) or bundle[name] for name in ("threads", "warmup", "repeats")}
        _measure(folder, given.out, settings, bundle)
    except _Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
