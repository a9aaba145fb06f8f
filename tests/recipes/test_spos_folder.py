"""SPOS on a tree of image files: to the exported network, through kill -9, and past a damaged file."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from archwright.cli import main
from archwright.export.preprocessing import preprocess
from archwright.tasks.images import streamed
from archwright.testing.faults import Stop, differences, stop_at

Cli = Callable[..., Any]
TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"
COUNTS = {"train": 40, "val": 8}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of different brightness, in two sizes."""
    root, rng = tmp_path_factory.mktemp("data") / "tree", np.random.default_rng(0)
    for part, n in COUNTS.items():
        for i in range(2 * n):
            label, size = ("dark", "light")[i % 2], ((20, 26, 3), (24, 18, 3))[i // 2 % 2]
            (root / part / label).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 180, size) + 70 * (i % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(root / part / label / f"{i:03d}.jpg")
    return root


def _arguments(tree: Path) -> tuple[str, ...]:
    data = ("--data", f"folder:{tree}", "--input", "3x16x16", "--val-images", "20")
    run = ("--preset", "smoke", "--space", TINY, "--threads", "1", "--device", "cpu", "--set", "n_draws=0")
    return ("search", "spos", *data, *run)


@pytest.fixture(scope="module")
def calm(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    assert main([*_arguments(tree), "--out", str(folder)]) == 0
    return folder


def test_options_of_the_data_are_in_the_record(calm: Path, tree: Path) -> None:
    """So that whoever opens the run opens the same data."""
    config = json.loads((calm / "run.json").read_text())["config"]
    assert config["data"] == f"folder:{tree}"
    assert config["data_options"] == {"val_images": 20, "input_shape": [3, 16, 16]}


def test_exported_network_says_how_it_takes_raw_images(calm: Path, tree: Path) -> None:
    """Class names and preprocessing in the ONNX file are enough to score files: the accuracy of result.json."""
    session = onnxruntime.InferenceSession(str(calm / "best/model.onnx"), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    names, document = json.loads(said["class_names"]), json.loads(said["preprocessing"])
    assert names == ["dark", "light"]
    right = []
    for path in sorted(tree.glob("val/*/*")):
        inputs = preprocess(np.asarray(Image.open(path))[None], document)
        (logits,) = session.run(None, {"images": inputs})
        right.append(names[int(logits.argmax())] == path.parent.name)
    assert np.mean(right) == json.loads((calm / "result.json").read_text())["test"]


@pytest.mark.slow
def test_kill_9_leaves_a_run_that_ends_the_same(tmp_path: Path, tree: Path, calm: Path, cli: Cli) -> None:
    """Killed while it trained; resumed by its folder alone."""
    folder = tmp_path / "run"
    assert stop_at(Stop("retrain-winner"), _arguments(tree), folder) == -signal.SIGKILL
    done = cli("search", "spos", "--out", folder, "--resume")
    assert done.code == 0
    assert differences(folder, calm) == []


def test_other_validation_part_is_another_run(calm: Path, cli: Cli) -> None:
    """The line says what differs."""
    done = cli("search", "spos", "--out", calm, "--resume", "--val-images", 10)
    assert done.code == 2
    assert "data_options.val_images was 20 and is now 10" in done.err


def test_damaged_file_ends_a_run_that_goes_on_when_it_is_put_right(
    tmp_path: Path, tree: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file outside the sample, met while training: exit code 1 and one line that names it; then the same end."""
    monkeypatch.setattr(streamed, "N_SAMPLED", {"train": 10, "validation": 1, "test": 1})
    arguments, damaged = _arguments(tree), tree / "train/light/041.jpg"
    assert cli(*arguments, "--out", tmp_path / "calm").code == 0
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-100])
    try:
        stopped = cli(*arguments, "--out", tmp_path / "run")
    finally:
        damaged.write_bytes(content)
    assert stopped.code == 1
    said = [line for line in stopped.err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert f"{damaged}: cannot be read as a JPEG, PNG, WebP, BMP, TIFF or GIF image" in said[0]
    assert "--resume" in said[0]
    assert cli(*arguments, "--out", tmp_path / "run", "--resume").code == 0
    assert differences(tmp_path / "run", tmp_path / "calm") == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "val/dark/000.jpg").write_bytes(b"x"), "val/dark/000.jpg: cannot be read as a JPEG"),
        (lambda root: (root / "val/dark").rename(root / "val/grey"), "val/grey: class 'grey' is missing in train"),
        (lambda root: (root / "train").rename(root / "trian"), "holds no folder 'train' but trian, val"),
    ],
)
def test_bad_trees_end_with_2_and_one_line(
    tmp_path: Path, cli: Cli, tree: Path, spoil: Callable[[Path], object], message: str
) -> None:
    """Nothing starts and no folder is made."""
    shutil.copytree(tree, tmp_path / "tree")
    spoil(tmp_path / "tree")
    done = cli("search", "spos", "--data", f"folder:{tmp_path / 'tree'}", "--out", tmp_path / "run")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert not (tmp_path / "run").exists()
