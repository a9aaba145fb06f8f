"""The int8 file of a winner: its figures, its one test reading, and the reason where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import ExportError, RunError, RunFolderError
from archwright.costs import Latency
from archwright.export.int8 import INT8_FILE, Int8Export
from archwright.export.onnx import export_onnx, onnx_session, predict_onnx
from archwright.finish import quantised
from archwright.finish.quantised import Int8Terms, int8_lines, n_passed, products_of, quantise_winner
from archwright.runs.run import open_run
from archwright.tasks import ImageTask, Part, Task
from archwright.tasks.images.in_memory import ImageSplit
from archwright.testing import NumberSpace
from archwright.testing.pictures import PictureTask

SPACE = NumberSpace()
Quantise = Callable[[Path, Path, Any], Int8Export]


class WatchedTask(ImageTask):
    """90 noisy images in three classes; notes which parts were read."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        labels = np.arange(90) % 3
        images = (rng.integers(0, 120, (90, 3, 6, 6)) + 40 * labels[:, None, None, None]).astype(np.uint8)
        self.asked: list[Part] = []
        super().__init__("toy", images, labels, images[:30], labels[:30])

    def _split(self, part: Part) -> ImageSplit:
        self.asked.append(part)
        return super()._split(part)


def _network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def _exported(path: Path, network: nn.Module) -> Path:
    export_onnx(network, (3, 6, 6), path)
    return path


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _exported(tmp_path_factory.mktemp("float") / "a.onnx", _network())


@pytest.fixture(scope="module")
def other_file(float_file: Path) -> Path:
    """Of a network that puts every image into the first class."""
    network = _network(seed=1)
    with torch.no_grad():
        network[-1].bias[0] += 1e4
    return _exported(float_file.with_name("b.onnx"), network)


@pytest.fixture
def run_folder(tmp_path: Path, float_file: Path) -> Path:
    """A run's folder with a float file in it."""
    with open_run(tmp_path / "run", {}, seed=4, threads=1) as run:
        run.path("best").mkdir()
        shutil.copy(float_file, run.path("best/model.onnx"))
    return tmp_path / "run"


def _quantise(
    folder: Path, task: Task, *, terms: Int8Terms | None = None, has_float: bool = True, label: str = ""
) -> dict[str, Any]:
    """What a resumed run has to say."""
    with open_run(folder, {}, seed=4, threads=1, resume=True) as run:
        source = run.path("best/model.onnx") if has_float else None
        return quantise_winner(run, SPACE, task, source, terms or Int8Terms(0.0), label=label)


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Instead of quantising, the float file is copied; what the calibration is given is noted."""
    asked: list[Any] = []

    def copy(source: Path, target: Path, batches: Any) -> Int8Export:
        asked.append(batches)
        shutil.copy(source, target)
        return Int8Export(target, target.stat().st_size, (), 0.0)

    monkeypatch.setattr(quantised, "quantise", copy)
    monkeypatch.setattr(quantised, "time_onnx", lambda *_: Latency(1.0, 2.0, 1, 50, "onnxruntime"))
    return asked


def test_figures_are_those_of_the_file(run_folder: Path) -> None:
    """Test score and agreement are counted here by hand; the test part was asked for once, after the others."""
    task = WatchedTask()
    found = _quantise(run_folder, task)
    assert task.asked == ["train", "validation", "test"]
    assert task.n_test_reads == 1
    sessions = {name: onnx_session(run_folder / "best" / name) for name in ("model.onnx", INT8_FILE)}
    classes = {
        (name, part): predict_onnx(session, next(task.split(part).ordered(99)).inputs.numpy()).argmax(1)
        for name, session in sessions.items()
        for part in ("validation", "test")
    }
    labels = next(task.split("test").ordered(99)).targets.numpy()
    assert found["test"] == np.mean(classes[INT8_FILE, "test"] == labels)
    assert found["agreement"] == np.mean(classes[INT8_FILE, "validation"] == classes["model.onnx", "validation"])
    assert found["agreement_on"] == "validation images (seen in training)"
    assert found["bytes"] == (run_folder / "best" / INT8_FILE).stat().st_size
    assert found["latency_ms"]["onnxruntime"].keys() == {"median", "p90", "threads", "repeats"}
    # 81 images to train on: two full batches of 32
    assert found["calibration"] == {"part": "train", "images": 64, "batch_size": 32, "method": "min-max"}


def test_calibration_images_are_plain_and_drawn_by_seed(run_folder: Path, copying: list[Any]) -> None:
    """Distinct training images as they are stored, the same ones each time, of all classes."""
    task = WatchedTask()
    _quantise(run_folder, task)
    (run_folder / "best" / INT8_FILE).unlink()
    _quantise(run_folder, task)
    first, second = (np.concatenate(batches) for batches in copying)
    np.testing.assert_array_equal(first, second)
    stored = {image.tobytes() for batch in task.split("train").ordered(99) for image in batch.inputs.numpy()}
    drawn = {image.tobytes() for image in first}
    assert len(drawn) == 64
    assert drawn <= stored


def test_a_resumed_run_repeats_nothing(run_folder: Path, copying: list[Any]) -> None:
    """Neither the file nor a reading."""
    first = _quantise(run_folder, WatchedTask())
    task = WatchedTask()
    assert _quantise(run_folder, task) == first
    assert (task.asked, len(copying)) == ([], 1)


def test_a_deleted_file_is_made_again_with_its_figures(run_folder: Path, copying: list[Any]) -> None:
    """The same bytes have the same figures: the test part is not read a second time."""
    first = _quantise(run_folder, WatchedTask())
    (run_folder / "best" / INT8_FILE).unlink()
    task = WatchedTask()
    assert _quantise(run_folder, task) == first
    assert (run_folder / "best" / INT8_FILE).exists()
    assert task.n_test_reads == 0


def test_other_bytes_are_another_network(run_folder: Path, copying: list[Any], other_file: Path) -> None:
    """As another quantiser may make them: measured and tested on their own."""
    _quantise(run_folder, WatchedTask())
    (run_folder / "best" / INT8_FILE).unlink()
    shutil.copy(other_file, run_folder / "best" / "model.onnx")
    task = WatchedTask()
    assert _quantise(run_folder, task)["bytes"] == (run_folder / "best" / INT8_FILE).stat().st_size
    assert task.n_test_reads == 1


def test_a_changed_file_is_refused(run_folder: Path, copying: list[Any]) -> None:
    """It may be someone's work."""
    _quantise(run_folder, WatchedTask())
    (run_folder / "best" / INT8_FILE).write_bytes(b"mine")
    with pytest.raises(RunFolderError, match=r"model\.int8\.onnx was changed after the run"):
        _quantise(run_folder, WatchedTask())


def _failing(error: Exception) -> Quantise:
    def fail(source: Path, target: Path, batches: Any) -> Int8Export:
        target.write_bytes(b"half")
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ExportError("the network has LSTM"), "the network has LSTM"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (MemoryError(), "MemoryError:"),
    ],
)
def test_what_fails_is_a_reason(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """One line in record and log, no file, no test reading; a resumed run does not try again."""
    monkeypatch.setattr(quantised, "quantise", _failing(error))
    task = WatchedTask()
    assert _quantise(run_folder, task) == {"reason": reason}
    assert task.n_test_reads == 0
    assert not (run_folder / "best" / INT8_FILE).exists()
    assert f"{INT8_FILE} is not written: {reason}" in (run_folder / "log.txt").read_text()
    monkeypatch.setattr(quantised, "quantise", _failing(AssertionError("tried again")))
    assert _quantise(run_folder, task) == {"reason": reason}


def test_a_full_disk_ends_the_run_which_can_be_resumed(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing about the network."""
    with monkeypatch.context() as patch:
        patch.setattr(quantised, "quantise", _failing(RunError("no space left")))
        with pytest.raises(RunError, match="no space left"):
            _quantise(run_folder, WatchedTask())
    assert _quantise(run_folder, WatchedTask())["agreement"] > 0


def test_too_little_agreement_is_a_reason(run_folder: Path, monkeypatch: pytest.MonkeyPatch, other_file: Path) -> None:
    """A file that names one class for all, a float file that does not; it is removed before it is tested."""

    def spoil(source: Path, target: Path, batches: Any) -> Int8Export:
        shutil.copy(other_file, target)
        return Int8Export(target, 1, (), 0.0)

    monkeypatch.setattr(quantised, "quantise", spoil)
    task = WatchedTask()
    inputs = next(task.split("validation").ordered(99)).inputs
    expected = predict_onnx(onnx_session(run_folder / "best" / "model.onnx"), inputs.numpy()).argmax(1)
    share = np.mean(expected == 0)
    found = _quantise(run_folder, task, terms=Int8Terms(1.0))
    assert found == {
        "reason": f"it puts {100 * share:.1f} % of the validation images into the same class as the float network; "
        "at least 100 % are asked for (int8_agreement)"
    }
    assert share < 1
    assert task.n_test_reads == 0
    assert not (run_folder / "best" / INT8_FILE).exists()


def test_tasks_without_classes_have_no_int8_file(run_folder: Path) -> None:
    """Nothing says there how alike two networks are."""
    assert _quantise(run_folder, PictureTask()) == {
        "reason": "int8 files are made of networks that put an input into a class, as 'pictures' does not"
    }


def test_without_a_float_file_there_is_none(run_folder: Path) -> None:
    """Whose own reason stands beside."""
    found = _quantise(run_folder, WatchedTask(), has_float=False)
    assert found == {"reason": "there is no float ONNX file to make it of"}


def test_each_winner_has_its_phase(run_folder: Path, copying: list[Any]) -> None:
    """In a run that looks for several."""
    _quantise(run_folder, WatchedTask())
    _quantise(run_folder, WatchedTask(), label="-macs-5", terms=Int8Terms(0.0, seen="in the search"))
    assert len(copying) == 2
    assert {path.stem for path in (run_folder / "checkpoints").iterdir()} == {"int8", "int8-macs-5"}


def test_its_passes_are_counted_for_the_time_of_a_run() -> None:
    """256 images four times, 9 validation images through both files, 30 test images; none where there is no file."""
    assert n_passed(WatchedTask()) == 4 * 256 + 2 * 9 + 30
    assert n_passed(PictureTask()) == 0


def test_what_is_said_of_it() -> None:
    """One line and one file name, where there is a file."""
    int8 = {
        "test": 0.98213,
        "agreement": 0.9944,
        "agreement_on": "validation images (seen in training)",
        "latency_ms": {"onnxruntime": {"median": 0.11204}},
    }
    assert int8_lines({"int8": int8}) == [
        "int8       0.9821 on the test part, 0.112 ms, agrees on 99.4 % of validation images (seen in training)"
    ]
    names = ["arch.json", "model.onnx", "model.py", "model.safetensors"]
    assert products_of({"int8": int8}) == [*names, INT8_FILE]
    for record in ({}, {"int8": {"reason": "why"}, "not_exported": {INT8_FILE: "why"}}):
        assert int8_lines(record) == []
        assert products_of(record) == names
