"""One architecture from scratch: the files of a search's winner, without a search."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidArchError, InvalidValueError, RunFolderError, UnknownNameError
from archwright.export.files import EXPORT_FORMATS
from archwright.export.weights import save_weights
from archwright.finish.result import Result, export_run, open_winner
from archwright.recipes import SposConfig, TrainConfig, train
from archwright.runs.nondeterminism import note
from archwright.runs.phase import Phase
from archwright.runs.progress import Progress, Standing
from archwright.runs.run import open_run
from archwright.spaces import SposSpace, arch_document
from archwright.tasks import ImageTask, digits
from archwright.testing.faults import differences
from archwright.training.config import TrainingConfig

TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny"


class Killed(BaseException):
    """Stands for the end of the process."""


def _config(arch: str = f"{TINY}:0120", **training: Any) -> TrainConfig:
    smoke = TrainConfig.preset("smoke", (1, 8, 8))
    return replace(smoke, arch=arch, training=replace(smoke.training, **training), threads=1, device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A finished training of 40 steps."""
    return train(_config(steps=40), digits(), out=tmp_path_factory.mktemp("train") / "run")


def test_files_are_those_of_a_search(done: Result) -> None:
    """But for trials."""
    assert done.folder is not None
    assert {path.name for path in (done.folder / "best").iterdir()} == {
        *("README.md", "arch.json", "model.onnx", "model.py", "model.safetensors")
    }
    names = {path.name for path in done.folder.iterdir()}
    assert names == {
        *("best", "checkpoints", "ledger.json", "log.txt", "report.html", "report.json", "result.json", "run.json"),
        *("run.lock", "status.json", "predictions.safetensors"),
    }
    found, network, _ = open_winner(done.folder)
    assert found.space.code(found.arch) == "0120"
    pairs = zip(network.state_dict().values(), done.model().state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class Noting(Progress):
    """Meets an operation that has no deterministic form, as a network on another device might."""

    def begin(self, standing: Standing) -> None:
        note("put_")


def test_a_call_from_python_switches_nothing_and_says_what_it_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Result, summary, page and run.json take the promise back; torch's switches are the caller's affair."""

    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError("switched")

    monkeypatch.setattr("archwright.training.device.make_deterministic", refuse)
    monkeypatch.setattr(torch, "set_deterministic_debug_mode", refuse)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", refuse)
    result = train(_config(steps=2), digits(), out=tmp_path / "run", progress=Noting())
    said = "the same seed may give other bits: put_ has no deterministic form here"
    assert result.record["nondeterministic"] == ["put_"]
    assert f"no promise {said}" in result.summary()
    assert said in (tmp_path / "run" / "report.html").read_text()
    for name in ("run.json", "result.json"):
        assert json.loads((tmp_path / "run" / name).read_text())["nondeterministic"] == ["put_"]


def test_result_has_the_keys_that_apply(done: Result) -> None:
    """No baseline, no limits, no validation part: all but the test part was trained on."""
    assert done.folder is not None
    record = json.loads((done.folder / "result.json").read_text())
    assert record == done.record
    assert (record["recipe"], record["dataset"], record["code"]) == ("train", "digits", "0120")
    assert (record["metric"], record["direction"], record["constraints"]) == ("top1_accuracy", "max", [])
    assert record["space"] == TINY
    assert list(record["ledger"]) == ["start", "train", "test", "export", "latency"]
    keys = ("arch", "test", "attempts", "params", "macs", "memory_access_bytes", "latency_ms", "constraints")
    assert record["selected"] == [{key: record[key] for key in keys}]
    assert record["latency_ms"].keys() == {"onnxruntime", "torch"}
    assert not {"random_baseline", "validation", "n_evaluated"} & record.keys()
    assert done.summary()[0] == f"network    top1_accuracy {record['test']:.4f} on the test part (seen once)"


def test_a_page_that_is_gone_or_cut_is_made_again(done: Result) -> None:
    """Opening the finished run again is enough; a page that is whole stays."""
    assert done.folder is not None
    page = done.folder / "report.html"
    text = page.read_text("utf-8")
    for harm in (page.unlink, lambda: page.write_text(text[:1000], "utf-8")):
        harm()
        train(_config(steps=40), digits(), out=done.folder, resume=True)
        assert page.read_text("utf-8") == text
    before = page.stat().st_mtime_ns
    train(_config(steps=40), digits(), out=done.folder, resume=True)
    assert page.stat().st_mtime_ns == before


def test_page_says_that_nothing_was_chosen(done: Result) -> None:
    """And does not miss a baseline that was not asked for."""
    assert done.folder is not None
    page = (done.folder / "report.html").read_text()
    assert "One given architecture, trained from scratch; nothing was chosen." in page
    assert "random search" not in page
    assert "had no limit" not in page
    assert ">Training loss</figcaption>" in page


def test_training_a_winner_again_gives_it_again(finished: Any) -> None:
    """Same seed, same configuration as a search's retraining: the same network, bit for bit."""
    config: SposConfig = finished.config
    again = TrainConfig(
        str(finished.folder / "best" / "arch.json"), config.retrain, seed=config.seed, threads=1, device="cpu"
    )
    result = train(again, digits())
    assert result.record["test"] == finished.result.record["test"]
    pairs = zip(result.model().state_dict().values(), finished.result.model().state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_arch_of_another_input_size_is_made_for_the_data(tmp_path: Path) -> None:
    """An arch.json found at 28 pixels in colour, for grey digits of 8."""
    space = SposSpace(input_shape=(3, 28, 28), n_classes=100)
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(arch_document(space, space.parse("0123012301"))))
    result = train(_config(str(path), steps=1), digits())
    assert (result.space.input_shape, result.space.n_classes) == ((1, 8, 8), 10)
    assert result.record["code"] == "0123012301"


def test_dying_at_every_stage_changes_nothing(tmp_path: Path, done: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the training, before and within the export; a checkpoint after every step."""
    module = sys.modules[train.__module__]
    monkeypatch.setattr(module, "open_run", functools.partial(open_run, checkpoint_every_s=0.0))
    advance = Phase.advance
    for name, so_far in (("train", 1), ("train", 25), ("train", 40), ("test", 1), ("export", 1), ("export", 3)):

        def dying(phase: Phase, at: int, *, name: str = name, so_far: int = so_far, **figures: Any) -> None:
            advance(phase, at, **figures)
            if (phase.name, at) == (name, so_far):
                raise Killed

        monkeypatch.setattr(Phase, "advance", dying)
        with pytest.raises(Killed):
            train(_config(steps=40), digits(), out=tmp_path / "run", resume=True)
    monkeypatch.setattr(Phase, "advance", advance)
    again = train(_config(steps=40), digits(), out=tmp_path / "run", resume=True)
    assert done.folder is not None
    assert differences(tmp_path / "run", done.folder, studies=()) == []
    reopened = train(_config(steps=40), digits(), out=tmp_path / "run", resume=True)
    assert reopened.record == again.record
    assert reopened.trials == ()


def test_another_arch_under_the_same_name_is_no_resumption(tmp_path: Path) -> None:
    """The file has changed since the run began."""
    space = SposSpace(input_shape=(1, 8, 8), n_classes=10)
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(arch_document(space, space.parse("0123012301"))))
    train(_config(str(path), steps=1), digits(), out=tmp_path / "run")
    path.write_text(json.dumps(arch_document(space, space.parse("1123012301"))))
    with pytest.raises(RunFolderError, match=r"architecture\.arch\.block0 was 'shuffle3' and is now 'shuffle5'"):
        train(_config(str(path), steps=1), digits(), out=tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("arch", "error", "message"),
    [
        ("spos-blokc", UnknownNameError, "did you mean spos-block"),
        ("missing.json", InvalidArchError, r"missing\.json: there is no such file"),
        ("spos:01", InvalidArchError, "code '01' has 2 positions; space 'spos' has 10 decisions"),
    ],
)
def test_unusable_arch_is_refused_before_anything_starts(
    tmp_path: Path, arch: str, error: type[Exception], message: str
) -> None:
    """No folder is left."""
    with pytest.raises(error, match=message):
        train(_config(arch), digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_presets(smoke_config: Callable[[int], SposConfig]) -> None:
    """Those of a search's retraining; the papers' numbers by image size."""
    assert TrainConfig.preset("smoke", (1, 8, 8)).training == smoke_config(0).retrain
    assert TrainConfig.preset("quick", (1, 8, 8)).training == SposConfig.preset("quick", (1, 8, 8)).retrain
    assert TrainConfig.preset("paper", (3, 224, 224)).training == SposConfig.preset("paper", (3, 224, 224)).retrain
    assert TrainConfig.preset("paper", (3, 32, 32)).training == TrainingConfig(
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decay_norm_and_bias=True,
        schedule="cosine",
        augment="crop,mirror",
    )
    with pytest.raises(InvalidValueError, match="unknown preset 'fast'; choose smoke, quick, long or paper"):
        TrainConfig.preset("fast", (1, 8, 8))
    with pytest.raises(InvalidValueError, match="threads is 0; give at least 1"):
        TrainConfig(threads=0)


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_exporting_again_gives_the_same_bytes(done: Result, tmp_path: Path, format: str) -> None:
    """So a run whose files were exported again is not one whose files were changed."""
    assert done.folder is not None
    path = export_run(done.folder, format, tmp_path / "again")
    assert path.read_bytes() == (done.folder / "best" / EXPORT_FORMATS[format]).read_bytes()


def test_a_changed_arch_is_not_exported(done: Result, tmp_path: Path) -> None:
    """Also where the weights would fit another architecture."""
    assert done.folder is not None
    shutil.copytree(done.folder, tmp_path / "run")
    path = tmp_path / "run" / "best" / "arch.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(RunFolderError, match=r"best/arch\.json was changed after the run"):
        export_run(tmp_path / "run", "safetensors", tmp_path / "again")


def test_a_deleted_export_is_made_again(done: Result, tmp_path: Path) -> None:
    """The finished run is gone through once more; nothing is trained."""
    assert done.folder is not None
    folder = tmp_path / "run"
    shutil.copytree(done.folder, folder)
    (folder / "best" / "model.onnx").unlink()
    train(_config(steps=40), digits(), out=folder, resume=True)
    assert differences(folder, done.folder, ()) == []


def test_a_folder_names_the_architecture_in_it(done: Result) -> None:
    """That of a run, and its best/."""
    assert done.folder is not None
    for folder in (done.folder, done.folder / "best"):
        result = train(_config(str(folder), steps=1), digits())
        assert result.record["code"] == "0120"


def _few_classes() -> ImageTask:
    """Digits below four, with names of their own."""
    task = digits()
    images, labels = (np.concatenate([task._train[i], task._test[i]]) for i in (0, 1))
    chosen = np.flatnonzero(labels < 4)
    x, y = images[chosen].transpose(0, 3, 1, 2), labels[chosen]
    return ImageTask("few", x[:400], y[:400], x[400:], y[400:], class_names=["zero", "one", "two", "three"])


def test_training_goes_on_from_given_weights(done: Result, tmp_path: Path) -> None:
    """One step at a rate of nearly nothing leaves the network as it was; the record says where it came from."""
    assert done.folder is not None
    weights = done.folder / "best" / "model.safetensors"
    config = replace(_config(steps=1, learning_rate=1e-12, warmup_steps=0, weight_decay=0.0), weights=str(weights))
    result = train(config, digits(), out=tmp_path / "run")
    said = {"file": str(weights), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "fresh": []}
    assert (result.record["weights"], result.record["provenance"]) == (said, "fine-tuned")
    for name, parameter in result.model().named_parameters():
        torch.testing.assert_close(parameter, done.model().get_parameter(name))
    config_of = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["config"]
    assert (config_of["weights"], config_of["weights_sha256"]) == (str(weights), said["sha256"])
    assert "trained on from the weights of" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_a_classifier_for_other_classes_begins_anew(done: Result, tmp_path: Path) -> None:
    """Named in the log, the result and the summary; the body is that of the weights."""
    assert done.folder is not None
    weights = str(done.folder / "best" / "model.safetensors")
    config = replace(_config(steps=1, learning_rate=1e-12, warmup_steps=0, weight_decay=0.0), weights=weights)
    result = train(config, _few_classes(), out=tmp_path / "run")
    assert result.record["weights"]["fresh"] == ["5.3"]
    assert "; fresh: 5.3" in (tmp_path / "run" / "log.txt").read_text("utf-8")
    assert f"began with {weights}; begun anew: 5.3" in result.summary()
    mine, theirs = dict(result.model().named_parameters()), dict(done.model().named_parameters())
    assert mine["5.3.weight"].shape == (4, 8)
    for name in mine.keys() - {"5.3.weight", "5.3.bias"}:
        torch.testing.assert_close(mine[name], theirs[name])


def test_fine_tuning_that_died_goes_on(done: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its checkpoint, not from the weights again: the bits of a training that was left alone."""
    assert done.folder is not None
    config = replace(_config(steps=12), weights=str(done.folder / "best" / "model.safetensors"))
    whole = train(config, digits())
    monkeypatch.setattr(sys.modules[train.__module__], "open_run", functools.partial(open_run, checkpoint_every_s=0.0))
    advance = Phase.advance

    def dying(phase: Phase, at: int, **figures: Any) -> None:
        advance(phase, at, **figures)
        if (phase.name, at) == ("train", 7):
            raise Killed

    monkeypatch.setattr(Phase, "advance", dying)
    with pytest.raises(Killed):
        train(config, digits(), out=tmp_path / "run")
    monkeypatch.setattr(Phase, "advance", advance)
    again = train(config, digits(), out=tmp_path / "run", resume=True)
    pairs = zip(whole.model().state_dict().values(), again.model().state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_weights_are_part_of_what_a_run_is(done: Result, tmp_path: Path) -> None:
    """A file that has changed since is no resumption."""
    assert done.folder is not None
    weights = tmp_path / "w.safetensors"
    weights.write_bytes((done.folder / "best" / "model.safetensors").read_bytes())
    config = replace(_config(steps=1), weights=str(weights))
    train(config, digits(), out=tmp_path / "run")
    save_weights(done.model(), weights)
    with pytest.raises(RunFolderError, match="what weights names has changed since"):
        train(config, digits(), out=tmp_path / "run", resume=True)


def test_weights_of_another_network_are_refused_before_anything_starts(done: Result, tmp_path: Path) -> None:
    """Of another architecture, or no file: one line, no folder."""
    assert done.folder is not None
    weights = str(done.folder / "best" / "model.safetensors")
    with pytest.raises(InvalidValueError, match=r"does not fit this architecture and these data: wrongly shaped: 1\.0"):
        train(replace(_config(f"{TINY}:2120"), weights=weights), digits(), out=tmp_path / "run")
    with pytest.raises(RunFolderError, match="there is no such file"):
        train(replace(_config(), weights=str(tmp_path / "none")), digits(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
