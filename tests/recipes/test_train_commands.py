"""`archwright train` from the command line: what it prints, how it ends, how it goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archwright.runs.phase import Phase
from archwright.testing.faults import Stop, differences, stop_at

Cli = Callable[..., Any]
TINY = f"{Path(__file__).with_name('tiny_space.py')}:Tiny:0120"
TRAIN = (
    "train",
    TINY,
    "--data",
    "digits",
    "--preset",
    "smoke",
    "--threads",
    "1",
    "--device",
    "cpu",
    "--set",
    "training.steps=40",
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    from archwright.cli import main

    folder = tmp_path_factory.mktemp("calm") / "run"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


def test_estimate_comes_first_then_the_result(cli: Cli, tmp_path: Path) -> None:
    """With --dry-run nothing but the estimate, and no folder."""
    dry = cli(*TRAIN, "--out", tmp_path / "run", "--dry-run")
    assert dry.code == 0
    assert dry.out.startswith("estimated time ")
    assert dry.out.splitlines()[0].endswith(" on 1 thread of cpu: 40 steps of 32")
    assert list(tmp_path.iterdir()) == []
    done = cli(*TRAIN, "--out", tmp_path / "run")
    said = done.out.splitlines()
    assert said[0].startswith("estimated time ")
    network, costs, latency, files, *following = said[-8:]
    assert network.startswith("network    top1_accuracy ")
    assert costs.endswith(" parameters, code 0120")
    assert latency.endswith(" ms in torch (one image, one thread, median)")
    best = f"{tmp_path}/run/best: README.md, arch.json, model.onnx, model.py, model.safetensors"
    assert files == f"files      {best}; {tmp_path}/run/report.html"
    assert [line.split()[0] for line in following] == ["predict", "longer", "fine-tune", "report"]
    assert following[1].endswith(f"archwright train {tmp_path}/run/best --data digits --set training.steps=160")


def test_new_run_gets_its_own_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under runs/, named after the command."""
    monkeypatch.chdir(tmp_path)
    assert cli(*TRAIN, "--set", "training.batch_size=16").code == 0
    record = json.loads((tmp_path / "runs" / "train-1" / "run.json").read_text())
    assert (record["recipe"], record["config"]["training"]["batch_size"]) == ("train", 16)


def test_finished_run_is_only_opened(cli: Cli, calm: Path) -> None:
    """The folder alone says what was trained; status and export know it too."""
    before = (calm / "result.json").read_bytes()
    again = cli("train", "--out", calm, "--resume")
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith("network    top1_accuracy ")
    assert (calm / "result.json").read_bytes() == before
    status = json.loads(cli("status", calm, "--json").out)
    assert (status["state"], status["recipe"], status["phase"]) == ("finished", "train", "latency")
    assert cli("export", calm, "--format", "python", "-o", calm.parent / "x.py").code == 0
    assert (calm.parent / "x.py").read_bytes() == (calm / "best" / "model.py").read_bytes()


def test_killed_and_terminated_run_goes_on(
    cli: Cli, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hints name this command; then the end of an undisturbed run."""
    folder, advance = tmp_path / "run", Phase.advance
    assert stop_at(Stop("train"), TRAIN, folder) == -signal.SIGKILL
    said = cli("status", folder).out.splitlines()
    assert said[-2:] == ["continue with:", f"  archwright train --out {folder} --resume"]

    def terminating(phase: Phase, done: int, **figures: Any) -> None:
        advance(phase, done, **figures)
        if (phase.name, done) == ("train", 30):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Phase, "advance", terminating)
    stopped = cli("train", "--out", folder, "--resume")
    assert stopped.code == 143
    hint = f"terminated; continue with: archwright train --out {folder} --resume"
    assert stopped.err.splitlines()[-1] == hint
    monkeypatch.setattr(Phase, "advance", advance)
    assert cli("train", "--out", folder, "--resume").code == 0
    assert differences(folder, calm, studies=()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "ARCH is missing; give a published name, an arch.json or its folder, or SPACE:CODE"),
        (("train", "--resume"), "--resume does not say which run; add --out DIR"),
        (("train", "--out", "run", "--resume"), "ARCH is missing"),
        (("train", "spos-blokc"), "did you mean spos-block"),
        (("train", "broken.json"), "broken.json: cannot be read as JSON"),
        (("train", "spos:01"), "code '01' has 2 positions"),
        (("train", TINY, "--data", "digist"), "unknown dataset 'digist'; did you mean digits?"),
        (("train", TINY, "--preset", "fast"), "unknown preset 'fast'"),
        (("train", TINY, "--set", "training.stpes=3"), "unknown setting 'training.stpes'; did you mean training.steps"),
        (("train", TINY, "--set", "seed=3"), "--set names 'seed'; use --seed"),
        (("train", TINY, "--seed", "-1"), "--seed is -1; give a number from 0"),
        (("train", TINY, "--threads", "0"), "--threads is 0; give at least 1"),
        (("train", TINY, "--max-macs", "1M"), "No such option: --max-macs"),
        (("search", "train"), "unknown recipe 'train'"),
    ],
)
def test_what_the_user_can_mend_ends_with_2_and_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, no traceback, no folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]


def test_fine_tuning_from_the_command_line(cli: Cli, calm: Path, tmp_path: Path) -> None:
    """The folder as ARCH and its weights, as the run's own summary says; resumed, the weights are remembered."""
    weights = calm / "best" / "model.safetensors"
    options = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--out", tmp_path / "run")
    done = cli("train", calm / "best", "--data", "digits", "--weights", weights, *options)
    assert done.code == 0, done.err
    assert f"began with {weights}" in done.out.splitlines()
    again = cli("train", "--out", tmp_path / "run", "--resume")
    assert (again.code, f"began with {weights}" in again.out) == (0, True)
    refused = cli("train", calm, "--weights", calm / "result.json", "--out", tmp_path / "other")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
