"""A run killed at any moment and resumed ends as if undisturbed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from archwright.runs.files import read_tensors
from archwright.runs.status import read_status
from archwright.stores import open_store

# A run in miniature: training with checkpoints, a search with trials, a result. Everything at position k depends on
# (seed, k) alone, as in the recipes.
_SCRIPT = """
import sys
from pathlib import Path

import torch

from archwright.core.arch import Arch
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.runs.run import open_run

STEPS, TRIALS = 60, 60

with open_run(sys.argv[1], {"steps": STEPS}, seed=7, resume=True, threads=1, checkpoint_every_s=0.0) as run:
    print("open", flush=True)
    with run.phase("train", total=STEPS) as phase:
        if not phase.is_done:
            tensors, state = phase.restore() or ({"w": torch.zeros(300)}, {"step": 0})
            weight = tensors["w"]
            for step in range(state["step"], STEPS):
                noise = torch.Generator().manual_seed(derive_seed(run.seed, "step", step))
                weight = weight * 0.9 + torch.randn(300, generator=noise)
                phase.advance(step + 1)
                if phase.is_due and step % 2:
                    phase.checkpoint({"w": weight}, {"step": step + 1})
            phase.finish({"w": weight}, {"step": STEPS})
    weight = phase.restore()[0]["w"]
    with run.phase("search", total=TRIALS) as phase:
        if not phase.is_done:
            for number in range(len(run.store()), TRIALS):
                seed = derive_seed(run.seed, "trial", number)
                arch = Arch({"index": seed % 300})
                score = float(weight[seed % 300])
                run.store().add([Trial(Candidate(number, arch, seed), metrics={"score": score})])
                phase.advance(number + 1, best=score)
            best = max(run.store().trials(), key=lambda trial: trial.metrics["score"])
            phase.finish(state={"winner": best.number})
    run.write_json("best/arch.json", run.store().get(phase.result["winner"]).arch.to_json())
    if run.result is None:
        run.finish({"winner": phase.result["winner"], "n_evaluated": len(run.store())})
"""


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _SCRIPT, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _outcome(folder: Path) -> dict[str, Any]:
    with open_store(folder) as store:
        trials = store.trials()
    return {
        "state": read_status(folder)["state"],
        "result": json.loads((folder / "result.json").read_text()),
        "best": json.loads((folder / "best" / "arch.json").read_text()),
        "trials": trials,
        "weights": read_tensors(folder / "checkpoints" / "train.safetensors")[0]["w"],
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }


def _check_consistent(folder: Path) -> None:
    """Whatever the moment: the folder is no stranger, nothing in it is damaged, trials have no gap."""
    assert read_status(folder)["state"] in ("empty", "dead", "finished")
    for checkpoint in (folder / "checkpoints").glob("*.safetensors"):
        assert read_tensors(checkpoint)[1]["phase"] == checkpoint.stem
    if (folder / "trials.sqlite").exists():
        with open_store(folder) as store:
            assert [trial.number for trial in store.trials()] == list(range(len(store)))


def _killed_and_resumed(folder: Path, n_kills: int, seed: int) -> None:
    moments = random.Random(seed)
    folder.mkdir()
    for _ in range(n_kills):
        with _start(folder) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the interpreter and torch are up: what follows is our own doing
            time.sleep(moments.uniform(0, 0.6))
            process.kill()
        _check_consistent(folder)
    _run_here(folder)


def _run_here(folder: Path) -> None:
    """The script in this process, which spares the import of torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["script", str(folder)])
        exec(compile(_SCRIPT, "script", "exec"), {})


def _compare(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert torch.equal(one.pop("weights"), other.pop("weights"))
    assert one == other


def test_kill_9_and_resume(tmp_path: Path) -> None:
    """Two random moments; winner, trials, weights and the set of files are those of an undisturbed run."""
    _run_here(tmp_path / "calm")
    _killed_and_resumed(tmp_path / "killed", n_kills=2, seed=0)
    _compare(_outcome(tmp_path / "killed"), _outcome(tmp_path / "calm"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_kills_and_resume(tmp_path: Path, seed: int) -> None:
    """The same for five moments, eight times."""
    _run_here(tmp_path / "calm")
    _killed_and_resumed(tmp_path / "killed", n_kills=5, seed=seed)
    _compare(_outcome(tmp_path / "killed"), _outcome(tmp_path / "calm"))
