"""Recipes on data that are no classes: from a search to files, stopped and resumed, and what data do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import UsageError
from archwright.export.onnx import onnx_session
from archwright.finish.result import Result, export_run, open_winner
from archwright.recipes import RandomSearchConfig, SposConfig, random_search, spos
from archwright.runs.phase import Phase
from archwright.tasks import Task, digits
from archwright.testing import PictureTask, ReversalTask, SequenceSpace
from archwright.testing.faults import differences

SEQUENCES, PICTURES = "archwright.testing.sequences:SequenceSpace", "archwright.testing.pictures:PictureSpace"
Recipe = Callable[..., Result]


def sequences() -> Task:
    """Short ones: an unrolled network is exported for as long as it is."""
    return ReversalTask(n=60, length=3)


RUNS: dict[str, tuple[Recipe, Any, str, Callable[[], Task]]] = {
    "random-sequences": (random_search, RandomSearchConfig, SEQUENCES, sequences),
    "spos-sequences": (spos, SposConfig, SEQUENCES, sequences),
    "random-pictures": (random_search, RandomSearchConfig, PICTURES, PictureTask),
    "spos-pictures": (spos, SposConfig, PICTURES, PictureTask),
}


def run(name: str, out: Path | None, *, resume: bool = False) -> Result:
    recipe, config, space, task = RUNS[name]
    preset = config.preset("smoke", task().input_shape)
    made = replace(preset, space=space, threads=1, device="cpu")
    return recipe(made, task(), out=out, resume=resume)


class Stopped(BaseException):
    """The power is gone."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run that was left alone."""
    found: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name) / "run"
            run(name, found[name])
        return found[name]

    return folder


@pytest.mark.parametrize("name", RUNS)
def test_everything_is_exported(undisturbed: Callable[[str], Path], name: str) -> None:
    """ONNX and `model.py` too, compared with torch; what is said of the search is its own metric."""
    folder = undisturbed(name)
    record = json.loads((folder / "result.json").read_text("utf-8"))
    assert record["not_exported"] == {}
    task = RUNS[name][3]()
    assert (record["metric"], record["direction"]) == (task.metric, task.direction)
    searched = record.get("search_metric", record["metric"])
    assert searched == task.search_metric
    assert searched in (folder / "report.html").read_text("utf-8")
    assert run(name, folder, resume=True).summary()
    assert export_run(folder, "python", None).name == "model.py"
    assert open_winner(folder)[2].keys() == {"class_names", "preprocessing"}


@pytest.mark.parametrize(
    ("name", "phase", "when"),
    [
        ("random-sequences", "search", 2),
        ("random-sequences", "retrain-winner", 5),
        ("random-sequences", "export", 2),
        ("spos-sequences", "supernet", 4),
        ("random-pictures", "retrain-winner", 5),
        ("spos-pictures", "supernet", 4),
    ],
)
def test_a_stopped_run_ends_the_same(
    undisturbed: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    phase: str,
    when: int,
) -> None:
    """With a checkpoint at every step, and the power gone within a phase: resumed, every bit is that of the whole."""
    advance = Phase.advance

    def stop(self: Phase, done: int, **figures: float | str) -> None:
        advance(self, done, **figures)
        if self.name == phase and done >= when:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Phase, "is_due", True)
        patch.setattr(Phase, "advance", stop)
        with pytest.raises(Stopped):
            run(name, tmp_path / "run")
    run(name, tmp_path / "run", resume=True)
    assert differences(tmp_path / "run", undisturbed(name)) == []


def test_a_network_of_three_inputs_in_onnx_runtime(undisturbed: Callable[[str], Path]) -> None:
    """The file names its inputs and its output, takes any batch, and gives what torch gives."""
    folder = undisturbed("random-sequences")
    session = onnx_session(folder / "best" / "model.onnx")
    assert [(each.name, each.type, each.shape) for each in session.get_inputs()] == [
        ("source", "tensor(int64)", ["batch", 3]),
        ("source_mask", "tensor(bool)", ["batch", 3]),
        ("target", "tensor(int64)", ["batch", 3]),
    ]
    assert [each.name for each in session.get_outputs()] == ["scores"]
    inputs = next(sequences().split("validation").ordered(5)).inputs
    feed = {each.name: tensor.numpy() for each, tensor in zip(session.get_inputs(), inputs, strict=True)}
    with torch.inference_mode():
        expected = open_winner(folder)[1](*inputs).numpy()
    assert np.abs(session.run(None, feed)[0] - expected).max() < 1e-5


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import model, torch
assert "archwright" not in sys.modules
network = model.load({weights!r})
torch.save(network(*torch.load({inputs!r})), {outputs!r})
model.main([{weights!r}])
"""


def test_model_py_alone(undisturbed: Callable[[str], Path], tmp_path: Path) -> None:
    """In an interpreter that imports nothing of this package: the network, its inputs named in the docstring."""
    best = undisturbed("random-sequences") / "best"
    text = (best / "model.py").read_text("utf-8")
    assert "outputs = network(source, source_mask, target)" in text
    assert "    source_mask    bool (N, 3)\n" in text
    assert "    source         int64 (N, 3), each from 0 to 7\n" in text
    inputs = next(sequences().split("validation").ordered(5)).inputs
    torch.save(inputs, tmp_path / "inputs")
    files = {
        "folder": str(best),
        "weights": str(best / "model.safetensors"),
        "inputs": str(tmp_path / "inputs"),
        "outputs": str(tmp_path / "outputs"),
    }
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPT.format(**files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 3, 8)\n"
    with torch.inference_mode():
        expected = open_winner(best.parent)[1](*inputs)
    assert torch.equal(torch.load(tmp_path / "outputs"), expected)


def test_latency_is_that_of_decoding(undisturbed: Callable[[str], Path]) -> None:
    """In torch; one pass in ONNX Runtime answers nothing, so none is told. Of pictures both are."""
    sequences, pictures = (
        json.loads((undisturbed(name) / "result.json").read_text("utf-8"))["latency_ms"]
        for name in ("random-sequences", "random-pictures")
    )
    assert list(sequences) == ["torch"]
    assert sorted(pictures) == ["onnxruntime", "torch"]


@pytest.mark.parametrize(
    ("space", "task", "message"),
    [
        (SEQUENCES, digits, "takes no input_shape, which the data decide"),
        ("lenet", ReversalTask, "the data 'reversal' decide length, n_tokens, and space 'lenet' takes"),
        (PICTURES, ReversalTask, "the data 'reversal' decide length, n_tokens, and space"),
    ],
)
def test_data_a_space_does_not_take_are_refused(space: str, task: Callable[[], Task], message: str) -> None:
    """In one line, before anything starts."""
    config = replace(RandomSearchConfig.preset("smoke", (6,)), space=space, threads=1)
    with pytest.raises(UsageError) as caught:
        random_search(config, task())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_batches_a_space_does_not_take_are_refused() -> None:
    """The arguments fit, but the batches are other ones: both forms are told."""

    class Other(ReversalTask):
        def example(self, n: int) -> Any:
            batch = super().example(n)
            return batch._replace(inputs=batch.inputs[:2])

    config = replace(RandomSearchConfig.preset("smoke", (6,)), space=SEQUENCES, threads=1)
    with pytest.raises(UsageError) as caught:
        random_search(config, Other())
    assert str(caught.value) == (
        "the data 'reversal' give 2 tensors, 6 (int64), 6 (bool) an example, but space "
        f"{SEQUENCES!r} takes source 6 (tokens below 8), source_mask 6 (bool), target 6 (tokens below 8); "
        "choose data of that form, or another space"
    )


def test_a_limit_on_latency_names_the_one_that_can_be_measured() -> None:
    """ONNX Runtime would be timed on a single pass."""
    preset = RandomSearchConfig.preset("smoke", (6,))
    config = replace(preset, space=SEQUENCES, threads=1, limits=(("latency_ms", 5.0),))
    with pytest.raises(UsageError, match=r"use latency_ms\.torch"):
        random_search(config, ReversalTask())
    made = replace(config, limits=(("latency_ms.torch", 1e6),))
    record = random_search(made, ReversalTask()).record
    assert record["constraints"][0]["satisfied"]
    assert SequenceSpace().size() == 8
