"""The real command line around a run of SPOS: what is wrong is said in one line before anything starts."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch

from archwright.finish.result import export_run, open_winner
from archwright.spaces import SposSpace

Cli = Callable[..., Any]
SMOKE = ("search", "spos", "--preset", "smoke", "--threads", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "spoos"), "unknown recipe 'spoos'; did you mean spos?"),
        ((*SMOKE, "--data", "digist"), "unknown dataset 'digist'; did you mean digits?"),
        ((*SMOKE, "--space", "sposs"), "unknown space 'sposs'; did you mean spos or spos-bits?"),
        ((*SMOKE, "--limit", "mcas=1M"), "unknown cost 'mcas'; did you mean macs?"),
        (("search", "spos", "--preset", "fast"), "unknown preset 'fast'; choose smoke, quick, long or paper"),
        ((*SMOKE, "--set", "supernet.stpes=3"), "unknown setting 'supernet.stpes'; did you mean supernet.steps"),
        ((*SMOKE, "--set", "evolution.population=0"), "evolution.population is 0; give at least 1"),
        ((*SMOKE, "--set", "supernet.batch_size=0"), "batch_size is 0; accepted: at least 1"),
        ((*SMOKE, "--set", "calibration.batches=0"), "calibration.batches is 0; give at least 1"),
        ((*SMOKE, "--set", "supernet.schedule=cosin"), "cosin"),
        ((*SMOKE, "--device", "tpu"), "'tpu'"),
        ((*SMOKE, "--max-macs", "1M"), "has macs <= 1,000,000; the smallest reachable is "),
        ((*SMOKE, "--max-params", "10"), "has params <= 10; the smallest reachable is"),
        ((*SMOKE, "--data", "npz:missing.npz"), "missing.npz"),
        ((*SMOKE, "--data", "npz"), "data 'npz' cannot be read; write npz:PATH"),
        (("export", "missing"), "missing holds no finished run (there is no result.json)"),
        (
            ("export", "missing", "--format", "tflite"),
            "export format is 'tflite'; choose one of onnx, python, safetensors",
        ),
        (("status", "missing"), "missing is no folder; give the folder of a run (its --out)"),
    ],
)
def test_what_the_user_can_mend_ends_with_2_and_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, no traceback, no folder."""
    monkeypatch.chdir(tmp_path)
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_smallest_value_named_is_reachable(cli: Cli, tmp_path: Path) -> None:
    """The limit that the error proposes is accepted, one less is not."""
    space = SposSpace(input_shape=(1, 8, 8), n_classes=10)
    smallest = _smallest_macs(space)
    accepted = cli(*SMOKE, "--limit", f"macs={smallest}", "--dry-run", "--out", tmp_path / "run")
    refused = cli(*SMOKE, "--limit", f"macs={smallest - 1}", "--dry-run", "--out", tmp_path / "run")
    assert (accepted.code, refused.code) == (0, 2)
    assert f"the smallest reachable is {smallest:,}, so give at least that" in refused.err
    assert not (tmp_path / "run").exists()


def _smallest_macs(space: SposSpace) -> int:
    """Block by block, the cheapest of four networks that differ in this block only."""
    from archwright.costs import count

    arch = {decision.name: decision.values[0] for decision in space.decisions}
    for name in arch:
        macs = {}
        for value in space.decisions[name].values:
            with torch.device("meta"):
                macs[value] = count(space.build({**arch, name: value}), space.input_shape).macs
        arch[name] = min(macs, key=lambda value: macs[value])
    return min(macs.values())


def _npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


IMAGES, LABELS = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a zip file", ""),
        (_npz(x_train=IMAGES, y_train=LABELS), "x_test"),
        (_npz(x_train=IMAGES.astype(float), y_train=LABELS, x_test=IMAGES, y_test=LABELS), "x_train"),
        (_npz(x_train=IMAGES, y_train=LABELS[:5], x_test=IMAGES, y_test=LABELS), "y_train"),
        (_npz(x_train=IMAGES, y_train=LABELS * 0, x_test=IMAGES, y_test=LABELS * 0), "class"),
        (_npz(x_train=np.array([object()] * 20), y_train=LABELS, x_test=IMAGES, y_test=LABELS), "x_train"),
        (_npz(x_train=IMAGES[:, :3, :3], y_train=LABELS, x_test=IMAGES[:, :3, :3], y_test=LABELS), "at least 4 pixels"),
    ],
)
def test_unusable_npz(cli: Cli, tmp_path: Path, content: bytes, message: str) -> None:
    """The file or array that is wrong is named; nothing is unpickled."""
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    done = cli(*SMOKE, "--data", f"npz:{path}", "--out", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert (message or str(path)) in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_foreign_folder_is_left_alone(cli: Cli, tmp_path: Path, resume: tuple[str, ...]) -> None:
    """A folder with anything but a run in it, with and without --resume."""
    (tmp_path / "thesis.tex").write_text("precious")
    done = cli(*SMOKE, "--out", tmp_path, *resume)
    assert done.code == 2
    assert f"{tmp_path} is not empty and holds no run" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_folder_of_a_run_needs_resume(cli: Cli, finished: Any) -> None:
    """Nothing of it is overwritten."""
    before = (finished.folder / "result.json").read_bytes()
    done = cli(*SMOKE, "--out", finished.folder)
    assert done.code == 2
    assert done.err == f"error: {finished.folder} is not empty; choose another --out or add --resume\n"
    assert (finished.folder / "result.json").read_bytes() == before


def test_unknown_recipe_needs_no_torch(run_python: Callable[..., Any]) -> None:
    """In a process of its own: one line, exit code 2, and torch is not even imported."""
    script = (
        "import sys; from archwright.cli import main; code = main(['search', 'spoos']); print('torch' in sys.modules)"
    )
    done = run_python("-c", f"{script}; sys.exit(code)")
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr == "error: unknown recipe 'spoos'; did you mean spos?\n"


def test_export_writes_both_formats_again(cli: Cli, finished: Any, tmp_path: Path) -> None:
    """Equal to those in best/: weights to the bit, logits of both ONNX files too."""
    onnx, weights = tmp_path / "again.onnx", tmp_path / "again.safetensors"
    assert cli("export", finished.folder, "-o", onnx).out == f"wrote {onnx}\n"
    assert cli("export", finished.folder, "--format", "safetensors", "-o", weights).out == f"wrote {weights}\n"
    stored = safetensors.torch.load_file(finished.folder / "best" / "model.safetensors")
    again = safetensors.torch.load_file(weights)
    assert stored.keys() == again.keys()
    assert all(torch.equal(stored[name], again[name]) for name in stored)
    images = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
    logits = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": images})[0]
        for path in (onnx, finished.folder / "best" / "model.onnx")
    ]
    np.testing.assert_array_equal(*logits)


def test_export_writes_source_again(cli: Cli, finished: Any, tmp_path: Path) -> None:
    """The very text in best/, with the data's class names and preprocessing in it, and what changed training images."""
    again, stored = tmp_path / "again.py", finished.folder / "best" / "model.py"
    assert cli("export", finished.folder, "--format", "python", "-o", again).out == f"wrote {again}\n"
    assert again.read_bytes() == stored.read_bytes()
    names: dict[str, Any] = {"__name__": "model"}
    exec(compile(stored.read_text("utf-8"), "model.py", "exec"), names)
    assert (names["CLASS_NAMES"], names["INPUT_SHAPE"]) == ([str(digit) for digit in range(10)], (1, 8, 8))
    assert names["PREPROCESSING"] == {**finished.task.preprocessing, "trained_with": "crop"}
    network = names["load"](finished.folder / "best" / "model.safetensors")
    images = torch.randn(4, 1, 8, 8)
    with torch.inference_mode():
        # the run's own network lies in another memory layout
        torch.testing.assert_close(network(images), finished.result.model()(images), rtol=1e-5, atol=1e-5)


def test_export_takes_the_run_s_own_place(finished: Any, tmp_path: Path) -> None:
    """By default it goes to best/; the folder's other files stay."""
    shutil.copytree(finished.folder, tmp_path / "run")
    path = tmp_path / "run" / "best" / "model.safetensors"
    before = safetensors.torch.load(path.read_bytes())
    assert export_run(tmp_path / "run", "safetensors", None) == path
    again = safetensors.torch.load(path.read_bytes())
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_winner_opens_from_its_folder(finished: Any) -> None:
    """Space, arch, network in evaluation mode, and what travels with the weights."""
    found, network, metadata = open_winner(finished.folder)
    assert (found.arch, network.training) == (finished.result.arch, False)
    assert found.space.input_shape == (1, 8, 8)
    assert json.loads(metadata["class_names"]) == [str(digit) for digit in range(10)]
    pairs = zip(network.state_dict().values(), finished.result.model().state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_unfinished_run_has_nothing_to_export(cli: Cli, tmp_path: Path) -> None:
    """The line says what to do."""
    done = cli("export", tmp_path)
    assert (done.code, done.err) == (
        2,
        f"error: {tmp_path} holds no finished run (there is no result.json); finish it with --resume first\n",
    )
