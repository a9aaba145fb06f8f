"""The single predictions of a winner's one test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from archwright.core.objective import Goal, Objective
from archwright.evaluators import FromScratch
from archwright.finish import FinalTraining, Found
from archwright.finish.finishing import finish
from archwright.finish.result import Result
from archwright.reports.building import build_report
from archwright.runs.run import open_run
from archwright.search import search
from archwright.strategies import Random
from archwright.tasks import ImageTask, Part
from archwright.tasks.base import Batch
from archwright.tasks.recording import ClassificationRecorder
from archwright.testing import NumberSpace
from archwright.training.config import TrainingConfig

CPU = torch.device("cpu")
SHORT = TrainingConfig(steps=2, batch_size=16)
SPACE = NumberSpace()


class Noisy(ImageTask):
    """60 images of noise in three classes: of the test part some are right and some are wrong."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        labels = np.arange(60) % 3
        images = rng.integers(0, 256, (60, 3, 6, 6)).astype(np.uint8)
        super().__init__("noise", images, labels, images[:24, :, ::-1], labels[:24], class_names=["a", "b", "c"])


def finished(out: Path | None, task: ImageTask | None = None, *, resume: bool = False) -> Result:
    """A run of one trial and one random draw."""
    task, objective = task or Noisy(), Objective((Goal("top1_accuracy", "max"),))
    evaluator = FromScratch(SPACE, task, SHORT)
    with open_run(out, {"recipe": "toy"}, seed=4, threads=1, resume=resume) as run:
        strategy = Random(SPACE, n_trials=1, seed=1)
        found = search(SPACE, strategy, evaluator, objective, store=run.store("search"))
        return finish(run, SPACE, Found((found,)), task, FinalTraining(SHORT), recipe="toy", n_draws=1, device=CPU)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finished(tmp_path_factory.mktemp("predictions") / "run")


def test_every_prediction_is_stored(done: Result) -> None:
    """Those of the winner, in stored order: what its network says; plain safetensors."""
    assert done.folder is not None
    found = load_file(done.folder / "predictions.safetensors")
    batch = next(Noisy().split("test").ordered(24))
    with torch.inference_mode():
        confidences, predictions = done.model()(batch.inputs).softmax(1).max(1)
    assert found.keys() == {"labels", "predictions", "confidences"}
    assert torch.equal(found["labels"], batch.targets)
    assert torch.equal(found["predictions"], predictions)
    torch.testing.assert_close(found["confidences"], confidences)
    right = (found["labels"] == found["predictions"]).double().mean().item()
    assert right == pytest.approx(done.record["test"])


def test_page_says_which_classes_are_confused(done: Result) -> None:
    """Counts of every part, by hand: 54 and 6 of 60 images, 24 tested; pictures of mistakes."""
    assert done.folder is not None
    classes = json.loads((done.folder / "report.json").read_text("utf-8"))["classes"]
    assert (classes["names"], classes["train"], classes["validation"]) == (["a", "b", "c"], [18] * 3, [2] * 3)
    assert classes["test"] == [8] * 3
    assert sum(classes["right"]) + sum(n for *_, n in classes["confusions"]) == 24
    page = (done.folder / "report.html").read_text("utf-8")
    assert "54 training, 6 validation and 24 test examples in 3 classes." in page
    assert page.count('src="data:image/png;base64,') == len(classes["mistakes"]) > 0


class Forbidden(Noisy):
    """Whose test part may not be read."""

    def _split(self, part: Part) -> Any:
        assert part != "test"
        return super()._split(part)


def test_what_is_gone_is_made_again_without_the_test_part(tmp_path: Path) -> None:
    """The predictions' file, the page's file and the page: from what the test stored."""
    folder = tmp_path / "run"
    finished(folder)
    names = ("predictions.safetensors", "report.json", "report.html")
    before = [(folder / name).read_bytes() for name in names[:2]]
    classes = json.loads(before[1])["classes"]
    for name in names:
        (folder / name).unlink()
    again = finished(folder, Forbidden(), resume=True)
    assert (folder / names[0]).read_bytes() == before[0]
    assert json.loads((folder / names[1]).read_text("utf-8"))["classes"] == classes
    assert again.record["test"] == json.loads((folder / "result.json").read_text("utf-8"))["test"]


def test_report_reads_stored_files_only(done: Result, tmp_path: Path) -> None:
    """The same page, also where the predictions' file is gone."""
    assert done.folder is not None
    page = (done.folder / "report.html").read_text("utf-8")
    build_report([done.folder], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == page


def test_each_network_reads_the_test_part_once() -> None:
    """Keeping predictions costs no further pass."""
    task = Noisy()
    record = finished(None, task).record
    baseline = record["random_baseline"]
    tested = [record, baseline, *baseline["draws"]]
    assert task.n_test_reads == len({json.dumps(one["arch"]) for one in tested})


class Broken(ClassificationRecorder):
    """Fails when it is asked for the first time."""

    def add(self, outputs: Tensor, batch: Batch) -> None:
        raise ValueError("no room")


class Unlucky(Noisy):
    def recorder(self) -> ClassificationRecorder:
        return Broken(self.n_classes, self.preprocessing)


def test_a_recorder_that_fails_costs_no_result(tmp_path: Path) -> None:
    """The score is the same, the log says why there are no predictions, the page is written."""
    result, expected = finished(tmp_path / "run", Unlucky()), finished(None)
    assert result.record["test"] == expected.record["test"]
    assert "predictions are not kept: ValueError: no room" in (tmp_path / "run" / "log.txt").read_text("utf-8")
    assert not (tmp_path / "run" / "predictions.safetensors").exists()
    assert 'id="classes"' not in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_points_of_the_page_have_their_code(done: Result) -> None:
    """From the file of the page: each trial by its number."""
    assert done.folder is not None
    codes = json.loads((done.folder / "report.json").read_text("utf-8"))["codes"]
    assert codes["search"] == {"0": SPACE.code(done.trials[0].arch)}
