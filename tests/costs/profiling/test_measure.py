"""The script of a bundle, run as on the device: in a process of its own, from its own folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.costs import SpaceTable, read_measurements
from archwright.spaces import Space

Measure = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def device(bundle: Path, tmp_path: Path) -> Path:
    """The folder, copied."""
    shutil.copytree(bundle, tmp_path / "device")
    return tmp_path / "device"


@pytest.fixture
def measure(device: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]) -> Measure:
    """Runs the script; archwright is out of its reach."""
    return lambda *arguments: run_python("-I", str(device / "measure.py"), *arguments)


def _measured(device: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((device / "measurements.json").read_text())
    return found


def _keys(device: Path) -> list[str]:
    return [part["key"] for part in json.loads((device / "bundle.json").read_text())["parts"]]


def test_every_part_is_timed(device: Path, measure: Measure, chain: Space) -> None:
    """With where and how, and how far times spread; the reference at the start, in the middle, at the end."""
    done = measure("--threads", "2", "--repeats", "4")
    assert (done.returncode, done.stderr) == (0, "")
    document, n = _measured(device), len(_keys(device))
    assert list(document["parts"]) == _keys(device)
    for one in document["parts"].values():
        assert 0 < one["p10"] <= one["median"] <= one["p90"]
        assert one["repeats"] == 4
    assert document["settings"] == {"threads": 2, "warmup": 1, "repeats": 4}
    assert set(document["versions"]) == {"python", "numpy", "onnxruntime"}
    assert set(document["machine"]) == {"platform", "machine", "processor", "cpu_count"}
    (run,) = document["runs"]
    assert [one["after"] for one in run["reference"]] == [0, n // 2, n]
    for when in ("clock_before", "clock_after"):
        assert set(run[when]) == {"governors", "current_mhz", "max_mhz", "load"}
    assert len(done.stdout.splitlines()) == n + 1
    table = read_measurements(device / "measurements.json", chain)
    assert isinstance(table, SpaceTable)
    assert (table.threads, table.backend, len(table.checked)) == (2, "onnxruntime", 3)
    assert (table.cost_rows(chain, chain.decisions.enumerate_rows()) > 0).all()


def test_a_stopped_run_goes_on(device: Path, measure: Measure) -> None:
    """What was timed stays; a run of its own is noted, with its reference; a third has nothing to do."""
    assert measure().returncode == 0
    whole = _measured(device)
    missing = _keys(device)[2:4]
    before = {key: one for key, one in whole["parts"].items() if key not in missing}
    (device / "measurements.json").write_text(json.dumps({**whole, "parts": before}))
    assert len(measure().stdout.splitlines()) == len(missing) + 1
    after = _measured(device)
    assert set(after["parts"]) == set(_keys(device))
    assert {key: after["parts"][key] for key in before} == before
    assert [[one["after"] for one in run["reference"]] for run in after["runs"]][1] == [0, 1, 2]
    text = (device / "measurements.json").read_bytes()
    assert len(measure().stdout.splitlines()) == 1
    assert (device / "measurements.json").read_bytes() == text


def _spoil(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes() + b" ")


def _change_bundle(folder: Path) -> None:
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace('"repeats": 3', '"repeats": 4'))


def _measure_otherwise(folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    other = {"format": 1, "unit": "ms", "bundle_sha256": bundle["sha256"], "settings": {"threads": 8}}
    (folder / "measurements.json").write_text(json.dumps(other))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_spoil("parts/0001.onnx"), "parts/0001.onnx is damaged or was changed; copy the folder again"),
        (lambda folder: (folder / "parts/0001.onnx").unlink(), "No such file or directory; copy the folder again"),
        (lambda folder: (folder / "bundle.json").unlink(), "bundle.json cannot be read"),
        (_change_bundle, "bundle.json is damaged or was changed; copy the folder again"),
        (
            _measure_otherwise,
            'has settings {"threads": 8}, this run {"threads": 1, "warmup": 1, "repeats": 3}; measure',
        ),
        (lambda folder: (folder / "measurements.json").write_text("mine"), "measurements.json cannot be read"),
        (lambda folder: (folder / "measurements.json").mkdir(), "measurements.json cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(
    device: Path, measure: Measure, damage: Callable[[Path], object], message: str
) -> None:
    """Exit code 2, before anything is timed."""
    damage(device)
    done = measure()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


@pytest.mark.parametrize("option", ["--threads", "--repeats"])
def test_numbers_are_positive(measure: Measure, option: str) -> None:
    """As argparse says it."""
    done = measure(option, "0")
    assert done.returncode == 2
    assert f"argument {option}: '0' is no positive whole number" in done.stderr
