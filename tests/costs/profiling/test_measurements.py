"""Measurements from elsewhere become a table, or one line that says why not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.core.errors import InvalidValueError
from archwright.costs import LookupTable, ProfileConfig, profile, read_measurements
from archwright.costs.profiling.plan import EMPTY
from archwright.runs.files import write_sealed_json
from archwright.spaces import Space
from archwright.testing import NumberSpace

Measured = Callable[[Callable[[str], float]], dict[str, Any]]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def file(measured: Measured, tmp_path: Path) -> Callable[..., Path]:
    """A file of measurements, changed in some way; every part took a millisecond."""

    def make(change: Change = lambda document: None) -> Path:
        document = copy.deepcopy(measured(lambda key: 1.0))
        change(document)
        (tmp_path / "m.json").write_text(json.dumps(document))
        return tmp_path / "m.json"

    return make


def test_the_table_is_that_of_a_profile(measured: Measured, chain: Space, by_macs: list[str], tmp_path: Path) -> None:
    """By one clock, here and elsewhere: every figure, only the machine and the threads are others."""
    timed: dict[str, float] = {}
    config = ProfileConfig("onnxruntime", threads=2, repeats=3, n_fitted=2, n_checked=1)
    here = profile(chain, config, timed=timed).to_json()
    (tmp_path / "m.json").write_text(json.dumps(measured(timed.__getitem__)))
    table = read_measurements(tmp_path / "m.json", chain)
    assert {**table.to_json(), "machine": None} == {**here, "machine": None}
    table.save(tmp_path / "table.json")
    assert LookupTable.open(tmp_path / "table.json").to_json() == table.to_json()  # type: ignore[attr-defined]


def test_the_table_says_where_it_is_from(file: Callable[..., Path], chain: Space) -> None:
    """The reference took 2 and 2.5 ms, a quarter apart."""
    machine = dict(read_measurements(file(), chain).machine or {})
    assert machine["processor"] == "a board"
    assert machine["versions"]["onnxruntime"] == "1.12"
    assert (machine["warmup"], machine["repeats"], machine["drift"]) == (1, 3, 0.25)
    assert machine["runs"][0]["clock_before"]["governors"] == ["performance"]


def _value(value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["parts"][document["bundle"]["parts"][1]["key"]]["median"] = value

    return change


def _lacking(document: dict[str, Any]) -> None:
    for part in document["bundle"]["parts"][1:3]:
        del document["parts"][part["key"]]


BAD: dict[str, tuple[Change, str]] = {
    "unit": (lambda d: d.update(unit="s"), "has the unit 's'; give milliseconds (unit 'ms')"),
    "missing": (
        _lacking,
        "lacks 2 of 8 parts, the first is parts/0001.onnx (Sequential at 2x6x6); run measure.py again",
    ),
    "zero": (_value(0), "has 0 ms for parts/0001.onnx"),
    "negative": (_value(-1.5), "has -1.5 ms for parts/0001.onnx"),
    "nan": (_value(float("nan")), "NaN is not allowed; give the file that measure.py wrote"),
    "infinite": (_value(1e300), "has 1e+300 ms for parts/0001.onnx"),
    "text": (_value("fast"), "has 'fast' ms for parts/0001.onnx"),
    "truth": (_value(True), "has True ms for parts/0001.onnx"),
    "format": (lambda d: d.update(format=7), "is in format 7; this version reads format 1"),
    "changed": (lambda d: d["bundle"].update(repeats=1), "holds a bundle that was changed"),
    "other": (lambda d: d.update(bundle_sha256="0"), "holds a bundle that was changed, or is not the one"),
    "no bundle": (lambda d: d.pop("bundle"), "holds no measurements of a bundle; give the file that measure.py wrote"),
    "no parts": (lambda d: d.pop("parts"), "is damaged: 'parts' is missing; give the file as measure.py wrote it"),
    "list": (lambda d: d.update(parts=[]), "lacks 8 of 8 parts"),
    "threads": (lambda d: d["settings"].update(threads=0), "is damaged: threads is 0"),
    "machine": (lambda d: d.update(machine=3), "is damaged: "),
    "reference": (lambda d: d["runs"][0]["reference"][0].update(median=0), "has 0 ms for the reference"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_named(file: Callable[..., Path], chain: Space, what: str) -> None:
    """In one line that names the file."""
    change, message = BAD[what]
    with pytest.raises(InvalidValueError) as caught:
        read_measurements(file(change), chain)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(file()))
    assert "\n" not in str(caught.value)


def _resealed(document: dict[str, Any], folder: Path, **changes: Any) -> None:
    """Change the bundle as if it had been written so."""
    plain = {name: value for name, value in {**document["bundle"], **changes}.items() if name != "sha256"}
    write_sealed_json(folder / "bundle.json", plain)
    document["bundle"] = json.loads((folder / "bundle.json").read_text())
    document["bundle_sha256"] = document["bundle"]["sha256"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "us"}, "has the unit 'us'"),
        ({"format": 2}, "is of a bundle in format 2; this version reads format 1"),
        ({"decisions": "0"}, "with other decisions than"),
        ({"scopes": [[]]}, "cuts networks of"),
        ({"terms": {"": []}}, "cuts networks of"),
        ({"networks": {}}, "is damaged: it has no whole network"),
        ({"networks": {"99": True}}, "lacks 1 of 6 parts, the first is network 99; run"),
        ({"parts": None}, "is damaged: "),
    ],
    ids=str,
)
def test_a_bundle_of_another_make_is_named(
    file: Callable[..., Path], chain: Space, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Even where its seal is right."""
    with pytest.raises(InvalidValueError, match=r"m\.json ") as caught:
        read_measurements(file(lambda document: _resealed(document, tmp_path, **changes)), chain)
    assert message in str(caught.value)


def test_another_space_or_size_is_refused(file: Callable[..., Path], chain: Space) -> None:
    """Other decisions, or other settings, with the command that makes the right bundle."""
    with pytest.raises(InvalidValueError, match=r"other decisions than .*NumberSpace' has; .* --bundle DIR"):
        read_measurements(file(), NumberSpace())
    with pytest.raises(InvalidValueError, match=r"was measured for n_classes 3 instead of 5; give"):
        read_measurements(file(), chain.with_args(n_classes=5))


def test_a_file_that_is_none(tmp_path: Path, bundle: Path, chain: Space) -> None:
    """Missing, a folder, or the bundle itself."""
    for path, message in (
        (tmp_path / "none.json", "No such file or directory; give the file that measure.py wrote"),
        (tmp_path, "Is a directory; give"),
        (bundle / "bundle.json", "holds no measurements of a bundle"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            read_measurements(path, chain)


def test_parts_add_up(measured: Measured, chain: Space, tmp_path: Path) -> None:
    """Every part takes 2 ms and a call 1: 1 for each convolution and the ReLU; an Identity is no part of the bundle."""
    (tmp_path / "m.json").write_text(json.dumps(measured(lambda key: 1.0 if key == EMPTY else 2.0)))
    table = read_measurements(tmp_path / "m.json", chain)
    assert table.entries["first=conv3"] == table.entries["second=conv0"] == table.entries["last=relu"] == 1.0
    assert table.entries["last=plain"] == 0.0
    assert table.base == 1 + 2  # a call, the stem and the layer
