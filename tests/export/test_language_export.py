"""Language models as ONNX and as `model.py`, with what turns a text into tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from archwright.costs.latency import measure_latency
from archwright.export.files import write_export
from archwright.export.onnx import onnx_metadata, onnx_session, predict_onnx
from archwright.export.preprocessing import input_metadata
from archwright.export.weights import save_weights
from archwright.nn import LanguageModel
from archwright.spaces.base import Space
from archwright.tasks import LanguageTask
from archwright.tasks.text.reading import tokens_of
from archwright.testing.language import RnnNodes, RnnTied, RnnTiny

TEXT = "the cat sat on the mat\nthe dog , too\n" * 10
CASES = [(RnnTiny, {"cell": "lstm", "width": 8}), (RnnTiny, {"cell": "gru", "width": 16})]
CASES += [(RnnTied, {"cell": "lstm", "width": 8}), (RnnNodes, RnnNodes().parse("0012"))]


@pytest.fixture
def task() -> LanguageTask:
    return LanguageTask("toy", TEXT, tokens=6)


def network_of(make: type[Space], arch: dict[str, object], task: LanguageTask) -> LanguageModel:
    torch.manual_seed(0)
    space = make(input_shape=task.input_shape, n_classes=task.n_classes)
    network = space.build(arch).eval()  # type: ignore[arg-type]
    assert isinstance(network, LanguageModel)
    return network


def loaded(path: Path) -> ModuleType:
    module = ModuleType("model")
    module.__file__ = str(path)
    exec(compile(path.read_text("utf-8"), "model.py", "exec"), vars(module))
    return module


@pytest.mark.parametrize(("make", "arch"), CASES)
def test_source_builds_the_network(
    make: type[Space], arch: dict[str, object], task: LanguageTask, tmp_path: Path
) -> None:
    """Writing it compares the logits; a loaded file predicts from a text."""
    network, metadata = network_of(make, arch, task), input_metadata(task.class_names, task.preprocessing)
    write_export(network, "python", tmp_path / "model.py", input_shape=task.input_shape, metadata=metadata)
    save_weights(network, tmp_path / "model.safetensors", metadata=metadata)
    model = loaded(tmp_path / "model.py")
    again = model.load(tmp_path / "model.safetensors")
    tokens = model.encode("the cat\nsat on a")
    expected = task.vocabulary.encode(["the", "cat", "<eos>", "sat", "on", "a"])
    assert tokens.tolist() == [expected.tolist()]
    with torch.inference_mode():
        assert torch.allclose(again(tokens), network(tokens), atol=1e-6)
    probabilities = network(tokens)[0, -1].softmax(0).detach()
    ((name, first), *_) = model.predict(again, tokens)[0]
    assert first == pytest.approx(float(probabilities.max()))
    assert name == task.class_names[int(probabilities.argmax())]


def test_source_runs_on_its_own(task: LanguageTask, tmp_path: Path, run_python: Callable[..., object]) -> None:
    """With torch alone, from the command line, with a text and without."""
    network, metadata = network_of(*CASES[0], task), input_metadata(task.class_names, task.preprocessing)
    write_export(network, "python", tmp_path / "model.py", input_shape=task.input_shape, metadata=metadata)
    save_weights(network, tmp_path / "model.safetensors", metadata=metadata)
    done = run_python("model.py", "model.safetensors", "the cat")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    assert len(done.stdout.splitlines()) == 5  # type: ignore[attr-defined]
    assert "this follows 'the'" in run_python("model.py").stdout  # type: ignore[attr-defined]


@pytest.mark.parametrize(("level", "marks_apart"), [("word", False), ("word", True), ("character", False)])
def test_encoding_is_that_of_the_task(level: str, marks_apart: bool) -> None:
    """The model's file reads a text as the task did."""
    from archwright.export import standalone_text

    task = LanguageTask("toy", TEXT, tokens=6, level=level, marks_apart=marks_apart)
    text = "the cat\nsat , on a" if not marks_apart else "The cat\nsat, on a"
    same = text if not marks_apart else "the cat\nsat , on a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standalone_text, "CLASS_NAMES", list(task.class_names))
        patch.setattr(standalone_text, "PREPROCESSING", task.preprocessing)
        found = standalone_text.encode(text)[0]
        with pytest.raises(ValueError, match="the text is empty"):
            standalone_text.encode("")
    tokens = tokens_of(same, task.vocabulary.level)
    expected = task.vocabulary.encode(tokens[:-1] if level == "word" else tokens)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(("make", "arch"), CASES)
def test_onnx_takes_tokens(make: type[Space], arch: dict[str, object], task: LanguageTask, tmp_path: Path) -> None:
    """int64, any batch, any length; logits are torch's, and the vocabulary is inside."""
    network, path = network_of(make, arch, task), tmp_path / "model.onnx"
    metadata = input_metadata(task.class_names, task.preprocessing)
    write_export(network, "onnx", path, input_shape=task.input_shape, metadata=metadata)
    session = onnx_session(path)
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("tokens", "tensor(int64)", ["batch", "length"])
    tokens = np.random.default_rng(0).integers(task.n_classes, size=(3, 9))
    with torch.inference_mode():
        expected = network(torch.from_numpy(tokens)).numpy()
    assert np.abs(predict_onnx(session, tokens) - expected).max() < 1e-5
    assert json.loads(onnx_metadata(session)["class_names"]) == list(task.class_names)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_latency_is_measured(backend: str, task: LanguageTask) -> None:
    """On tokens, by both."""
    network = network_of(*CASES[0], task)
    assert measure_latency(network, task.input_shape, backend=backend, warmup=1, repeats=3).median > 0  # type: ignore[arg-type]
