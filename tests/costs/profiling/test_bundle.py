"""A bundle: parts as ONNX files, and all that their timing needs."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError, RunFolderError
from archwright.costs import ProfileConfig, write_bundle
from archwright.costs.profiling.plan import Planned
from archwright.costs.profiling.weights import SharedWeights
from archwright.export.folding import fold_batch_norms
from archwright.export.onnx import verify_onnx
from archwright.export.reference import plain_copy
from archwright.runs.files import read_sealed_json
from archwright.spaces import Space
from archwright.testing import NumberSpace, SequenceSpace

SMALL = ProfileConfig(warmup=1, repeats=3, n_fitted=2, n_checked=1)


def _document(folder: Path) -> dict[str, Any]:
    return read_sealed_json(folder / "bundle.json")


def test_the_folder_says_what_is_in_it(bundle: Path, chain: Space) -> None:
    """Every file with its SHA-256; the space by its settings and its decisions; how to measure."""
    document = _document(bundle)
    files = document["weights"] + document["parts"]
    for each in files:
        assert hashlib.sha256((bundle / each["file"]).read_bytes()).hexdigest() == each["sha256"]
    found = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert found == {each["file"] for each in files} | {"bundle.json", "measure.py", "README.txt"}
    assert (document["space_args"], document["decisions"]) == (chain.args(), chain.decisions.fingerprint)
    assert [document[name] for name in ("format", "unit", "backend", "batch")] == [1, "ms", "onnxruntime", 1]
    assert [document[name] for name in ("threads", "warmup", "repeats")] == [1, 1, 3]
    assert document["reference"] in [part["key"] for part in document["parts"]]


def test_there_is_a_part_for_all_that_is_timed(bundle: Path, chain: Space) -> None:
    """In order, each form once."""
    planned = Planned(chain, seed=0, n_fitted=2, n_checked=1)
    document = _document(bundle)
    assert [part["key"] for part in document["parts"]] == [name for name, _ in planned]
    assert document["terms"] == {key: list(names) for key, names in planned.plan.terms.items()}
    image = {"name": "images", "shape": [2, 6, 6], "dtype": "float32", "n_tokens": None}
    assert document["signature"] == document["parts"][-1]["inputs"] == [image]


def test_parts_give_torchs_outputs(bundle: Path, chain: Space) -> None:
    """In ONNX Runtime, each file as its module in torch with the shared weights."""
    files = {part["key"]: bundle / part["file"] for part in _document(bundle)["parts"]}
    shared = SharedWeights(0)
    for name, form in Planned(chain, seed=0, n_fitted=2, n_checked=1):
        network = plain_copy(form.module)
        fold_batch_norms(network)
        shared.fill(network)
        assert verify_onnx(files.pop(name), network, form.form, batches=(1,)) < 1e-5
    assert not files


def test_the_script_needs_nothing_of_ours() -> None:
    """It parses as Python 3.8 and imports only onnxruntime, numpy and what comes with Python."""
    text = resources.files("archwright.costs.profiling").joinpath("measure.py").read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    roots = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    roots |= {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert roots - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}


def test_the_readme_has_the_options_that_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the table is made for the same settings."""
    monkeypatch.setattr("archwright.costs.profiling.bundle._written", lambda *args: {"file": "x"})
    write_bundle(NumberSpace(), tmp_path / "new", SMALL, options=["--input=3x6x6"])
    assert " --input=3x6x6 --from measurements.json -o table.json\n" in (tmp_path / "new/README.txt").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [("full", "is not empty; give a new folder"), ("file", "is no folder"), ("file/x", "takes files; choose another")],
)
def test_a_folder_that_is_not_new_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """And left as it is."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match=message):
        write_bundle(NumberSpace(), tmp_path / name)
    assert (tmp_path / "full/mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"


def test_what_onnx_runtime_would_time_otherwise_is_refused(tmp_path: Path) -> None:
    """Another backend, or networks that are run several times for an answer."""
    with pytest.raises(InvalidValueError, match="a bundle is measured in onnxruntime, but backend is 'torch'"):
        write_bundle(NumberSpace(), tmp_path / "new", ProfileConfig("torch"))
    with pytest.raises(InvalidValueError, match="are run several times for one answer"):
        write_bundle(SequenceSpace(), tmp_path / "new")


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is there completely or not at all; an empty one stays empty."""

    def fail(network: nn.Module, form: object, path: Path) -> None:
        if not path.name.startswith("0000"):
            raise ExportError("it cannot be")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    monkeypatch.setattr("archwright.costs.profiling.bundle.export_onnx", fail)
    monkeypatch.setattr("archwright.costs.profiling.bundle.refer", lambda path, places: None)
    (tmp_path / "new").mkdir()
    with pytest.raises(ExportError, match="it cannot be"):
        write_bundle(NumberSpace(), tmp_path / "new", SMALL)
    assert os.listdir(tmp_path) == ["new"]
    assert os.listdir(tmp_path / "new") == []


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each file: an empty call, eight forms, three networks; the record says how large it all is."""
    monkeypatch.setattr("archwright.costs.profiling.bundle._written", lambda *args: {"file": "x"})
    told: list[tuple[int, int]] = []
    made = write_bundle(NumberSpace(), tmp_path / "new", SMALL, advance=lambda *at: told.append(at))
    assert told == [(i, 12) for i in range(1, 13)]
    assert made.n_parts == 12
    assert made.n_bytes == sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
    assert json.loads((made.folder / "bundle.json").read_text())["parts"][0] == {"file": "x"}
