"""A run is its data and its code, not the spelling of their paths; what the user changed is named."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Cli = Callable[..., Any]

SPACE = """
from torch import nn
import archwright as aw
from sizes import WIDTH


class Mine(aw.Space):
    def network(self, choose):
        act = choose.op("act", {"relu": nn.ReLU, "silu": nn.SiLU})
        body = [nn.Conv2d(self.input_shape[0], WIDTH, 3), act, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*body, nn.Linear(WIDTH, self.n_classes))
"""

SMOKE = (
    *("--preset", "smoke", "--threads", "1", "--device", "cpu"),
    *("--set", "n_trials=2", "--set", "n_draws=0", "--set", "plain=false", "--set", "retrain.steps=2"),
)
GIVEN = ("search", "random", "--space", "mine.py:Mine", "--data", "npz:data.npz", *SMOKE)


def _data(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(path, x_train=images[:40], y_train=np.arange(40) % 2, x_test=images[40:], y_test=np.arange(20) % 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with data, a space that imports a neighbour, and a finished run that was started by relative paths."""
    from archwright.cli import main

    root = tmp_path_factory.mktemp("moved") / "project"
    root.mkdir()
    _data(root / "data.npz", 0)
    (root / "mine.py").write_text(SPACE)
    (root / "sizes.py").write_text("WIDTH = 4")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main([*GIVEN, "--out", "run"]) == 0
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, as after a move, with the present folder in it; the first one is out of reach."""
    copied, hidden = tmp_path / "copy", finished.with_name("hidden")
    shutil.copytree(finished, copied)
    finished.rename(hidden)
    monkeypatch.chdir(copied)
    _fresh_modules(monkeypatch)
    yield copied
    hidden.rename(finished)


def _fresh_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: the space's file and its neighbours are imported again."""
    for name in [name for name in sys.modules if name == "sizes" or name.endswith(".mine")]:
        monkeypatch.delitem(sys.modules, name)


# ── where it lies ─────────────────────────────────────────────────────────────────────────────────


def test_it_goes_on_from_another_folder(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command's own paths, with absolute ones, and with none."""
    summary = cli(*GIVEN, "--out", "run", "--resume")
    assert summary.code == 0, summary.err
    monkeypatch.chdir("/")
    alone = cli("search", "random", "--out", project / "run", "--resume")
    assert alone.code == 0, alone.err
    absolute = ("--space", f"{project}/mine.py:Mine", "--data", f"npz:{project}/data.npz")
    again = cli("search", "random", *absolute, *SMOKE, "--out", project / "run", "--resume")
    assert again.code == 0, again.err


def test_unfinished_ones_do_too(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They train on, in the same way."""
    wanted = (project / "run" / "best" / "model.safetensors").read_bytes()
    (project / "run" / "result.json").unlink()
    for phase in (project / "run" / "checkpoints").glob("retrain*"):
        phase.unlink()
    shutil.rmtree(project / "run" / "best")
    monkeypatch.chdir("/")
    done = cli("search", "random", "--out", project / "run", "--resume")
    assert done.code == 0, done.err
    assert (project / "run" / "best" / "model.safetensors").read_bytes() == wanted


@pytest.mark.parametrize("what", ["run", "run/best", "run/best/arch.json"])
def test_its_network_is_counted_and_exported_from_there(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The space's file is found from arch.json."""
    monkeypatch.chdir("/")
    done = cli("cost", project / what, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["params"] == 4 * 9 + 4 + 4 * 2 + 2
    assert cli("export", project / "run", "-o", project / "again.onnx").code == 0


def test_other_data_and_seeds_are_named(cli: Cli, project: Path) -> None:
    """By what the user changed, not by a digest that follows from it."""
    _data(project / "other.npz", 1)
    given = [word.replace("data.npz", "other.npz") for word in GIVEN]
    refused = cli(*given, "--out", "run", "--resume")
    assert refused.code == 2
    assert "data was 'npz:data.npz' and is now 'npz:other.npz'; resume with" in refused.err
    refused = cli(*GIVEN, "--seed", "5", "--out", "run", "--resume")
    assert "seed was 0 and is now 5; resume with" in refused.err
    _data(project / "data.npz", 1)
    refused = cli(*GIVEN, "--out", "run", "--resume")
    assert "what data names has changed since (data_sha256)" in refused.err


# ── edited code ───────────────────────────────────────────────────────────────────────────────────


def test_comments_may_change(cli: Cli, project: Path) -> None:
    (project / "sizes.py").write_text("# four channels\nWIDTH = 4")
    assert cli(*GIVEN, "--out", "run", "--resume").code == 0


def test_edited_code_is_refused_or_accepted(cli: Cli, project: Path) -> None:
    """Also that of a neighbour; what was accepted is kept and told."""
    (project / "run" / "result.json").unlink()
    (project / "sizes.py").write_text("WIDTH = 2 + 2")
    refused = cli(*GIVEN, "--out", "run", "--resume")
    assert refused.code == 2
    assert "is a run of other code" in refused.err
    done = cli(*GIVEN, "--out", "run", "--resume", "--accept-code-change")
    assert done.code == 0, done.err
    assert "code       of the space was edited during the run" in done.out
    assert len(json.loads((project / "run" / "result.json").read_text())["code_changes"]) == 1
    assert cli(*GIVEN, "--out", "run", "--resume").code == 0


def test_other_parameters_are_another_run(cli: Cli, project: Path) -> None:
    """Whatever is accepted."""
    (project / "sizes.py").write_text("WIDTH = 8")
    refused = cli(*GIVEN, "--out", "run", "--resume", "--accept-code-change")
    assert refused.code == 2
    assert "the code of its space builds other networks now" in refused.err


# ── no run ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [("search", "random"), ("train", "lenet:000000")])
def test_a_folder_without_a_run_is_no_new_one(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    """A misspelt name would begin a search on data that nobody asked for."""
    refused = cli(*command, "--out", tmp_path / "typo", "--resume")
    assert refused.code == 2
    assert "typo holds no run to go on with (there is no run.json)" in refused.err
    assert not (tmp_path / "typo").exists()
