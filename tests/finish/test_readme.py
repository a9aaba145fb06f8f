"""README.md of a winner's folder: what it says is so, and its programs run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archwright.finish.readme import input_kind, readme_text, span
from archwright.nn.inputs import Signature, TensorSpec, one_input
from archwright.recipes import TrainConfig, train
from archwright.tasks import digits
from archwright.testing.hostile import NASTY_TEXTS

TINY = f"{Path(__file__).parent.parent / 'recipes' / 'tiny_space.py'}:Tiny:0120"
GREY = {"layout": "CHW", "scale": 1 / 255, "mean": [0.25], "std": [0.5]}
FILES = ["arch.json", "model.onnx", "model.py", "model.safetensors"]
WINNER: dict[str, Any] = {
    **{"recipe": "spos", "space": "spos", "code": "0123", "dataset": "digits", "input_kind": "images", "n_classes": 3},
    **{"metric": "top1_accuracy", "direction": "max", "test": 0.9, "validation": 0.8, "params": 1234, "macs": 56789},
    **{"constraints": [], "n_evaluated": 4, "n_final_steps": 400, "provenance": "scratch"},
    "latency_ms": {"torch": {"median": 1.0}},
    "random_baseline": {"test": 0.85, "n_evaluated": 4, "draws": []},
}


def text_of(files: list[str] = FILES, names: tuple[str, ...] = ("a", "b", "c"), **changed: Any) -> str:
    return readme_text({**WINNER, **changed}, one_input((1, 8, 8)), names, GREY, files)


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny network for the digits, trained for 40 steps."""
    smoke = TrainConfig.preset("smoke", (1, 8, 8))
    config = TrainConfig(arch=TINY, training=replace(smoke.training, steps=40), threads=1, device="cpu")
    folder = tmp_path_factory.mktemp("readme") / "run"
    train(config, digits(), out=folder)
    images = (np.arange(12 * 20) % 251).astype(np.uint8).reshape(12, 20)
    Image.fromarray(images).save(folder / "picture.png")
    return folder / "best"


def blocks(best: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (best / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture
def run_in(child_environment: Mapping[str, str]) -> Callable[..., str]:
    """What a command prints in a folder."""

    def run(folder: Path, *command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, env=dict(child_environment), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_programs_run_and_agree(best: Path, run_in: Callable[..., str]) -> None:
    """With torch and with ONNX Runtime, on an image of another size: the same class as the command says."""
    with_torch, with_onnx = [text.replace("IMAGE", "../picture.png") for text in blocks(best, "python")]
    (ask, *_) = blocks(best, "bash")
    said = run_in(best, sys.executable, *shlex.split(ask.replace("IMAGE", "../picture.png"))[1:]).splitlines()[1]
    assert len(with_torch.splitlines()) <= 10
    assert run_in(best, sys.executable, "-c", with_torch).split()[1] == said.split()[1]
    assert run_in(best, sys.executable, "-c", with_onnx).strip() == said.split()[1]


@pytest.mark.slow
def test_commands_train_on(best: Path, tmp_path: Path, run_in: Callable[..., str]) -> None:
    """From fresh weights and from these, each into a folder of its own."""
    _, longer, tuned = blocks(best, "bash")
    for text, name in ((longer, "longer"), (tuned, "tuned")):
        words = shlex.split(text.replace("DATA", "digits").replace("RUN", str(tmp_path / name)))
        assert words[:2] == ["archwright", "train"]
        run_in(best, sys.executable, "-m", *words, "--preset", "smoke", "--threads", "1")
        assert (tmp_path / name / "result.json").is_file()
    assert "began with model.safetensors" in (tmp_path / "tuned" / "best" / "README.md").read_text("utf-8")


def test_what_it_says(best: Path) -> None:
    """Size, classes, preprocessing and scores as the run has them; no time, no date, no path."""
    text = (best / "README.md").read_text("utf-8")
    for words in ("1 x 8 x 8", "code `0120`", "10 classes", "multiplied by 0.00392156863", "channel 0: mean 0."):
        assert words in text
    assert " ms in " not in text
    assert not re.search(r"\b20\d\d-", text)
    assert str(best.parent) not in text


def test_text_is_a_function_of_its_arguments() -> None:
    """Twice the same; another latency changes nothing."""
    assert text_of() == text_of(latency_ms={"onnxruntime": {"median": 9.0}})


def test_only_files_that_exist_are_described() -> None:
    """Each further ONNX file is run by the same lines."""
    text = text_of(
        ["arch.json", "model.int8.onnx", "model.onnx", "model.safetensors"], not_exported={"model.py": "why"}
    )
    assert "The same lines run `model.int8.onnx`." in text
    assert "import model\n" not in text
    assert "python model.py" not in text
    assert "onnxruntime" not in text_of(["arch.json", "model.py", "model.safetensors"])


def test_long_lists_of_classes_are_cut() -> None:
    """After twenty, with their number."""
    text = text_of(names=tuple(f"class{i}" for i in range(50)))
    assert "      19  class19\n    … (50 in all)\n" in text
    assert "class20" not in text


def test_scores_are_those_the_run_printed() -> None:
    """With the baseline, without what a clock said."""
    text = text_of()
    assert "    winner     top1_accuracy 0.9000 on the test part (seen once), 0.8000 in the search\n" in text
    assert "    baseline   0.8500 by random search with as many evaluations (4)\n" in text


@pytest.mark.parametrize("name", NASTY_TEXTS)
def test_names_from_outside_stay_text(name: str) -> None:
    """Of data, spaces and classes: nothing ends a block, begins a heading or a tag, or moves the cursor."""
    plain = text_of()
    text = text_of(names=(name, "b", "c"), dataset=name, space=name, code=name)
    assert [line for line in text.splitlines() if line.startswith("#")][1:] == [
        line for line in plain.splitlines() if line.startswith("#")
    ][1:]
    assert text.count("```") == plain.count("```") or "```" in name
    prose = "\n".join(line for line in text.splitlines() if line[:4] != "    ")
    assert "<" not in re.sub(r"(`+)[^`].*?(?<!`)\1(?!`)", "", prose)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_a_code_span_holds_its_backticks() -> None:
    """By longer fences, as CommonMark has it."""
    assert span("a") == "`a`"
    assert span("a`b") == "``a`b``"
    assert span("`a") == "`` `a ``"
    assert span("a\nb") == "`a b`"


def test_kinds_of_inputs() -> None:
    """Images are what `preprocessing` was done to; a vector with classes is not one."""
    image = one_input((3, 8, 8))
    assert input_kind(image, ["a"], {**GREY, "mean": [0.0] * 3, "std": [1.0] * 3}) == "images"
    assert input_kind(image, ["a"], {}) == "numbers"
    assert input_kind(one_input((12,)), ["a"], {}) == "numbers"
    assert input_kind(one_input((12,), 30), ["a"], {"layout": "T"}) == "text"
    assert input_kind(Signature((TensorSpec((3,), name="x"), TensorSpec((4,), name="y"))), [], {}) == "tensors"


@pytest.mark.parametrize("kind", ["numbers", "text", "tensors"])
def test_other_inputs_have_programs_too(kind: str) -> None:
    """Shapes and types in place of preprocessing."""
    signature = Signature((TensorSpec((7,), "int64", 30, "tokens"),))
    text = readme_text({**WINNER, "input_kind": kind, "n_classes": None}, signature, (), {"layout": "T"}, FILES)
    assert "- `tokens`: int64, N x 7, token numbers from 0 to 29" in text
    assert text.count("```python") == 2


def test_a_file_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People add to it: a run that is gone through again does not write over that, and nothing refuses it."""
    smoke = TrainConfig.preset("smoke", (1, 8, 8))
    config = TrainConfig(arch=TINY, training=smoke.training, threads=1, device="cpu")
    train(config, digits(), out=tmp_path / "run")
    (tmp_path / "run" / "best" / "README.md").write_text("mine", "utf-8")
    os.unlink(tmp_path / "run" / "best" / "model.onnx")
    train(config, digits(), out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "best" / "README.md").read_text("utf-8") == "mine"
    assert (tmp_path / "run" / "best" / "model.onnx").is_file()
