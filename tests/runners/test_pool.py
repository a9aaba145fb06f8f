"""Evaluation in worker processes, which are killed, hang and run out of memory here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidValueError, RunError, UsageError
from archwright.core.objective import Goal, Objective
from archwright.evaluators import CalibrationConfig, Evaluator, FromScratch, SupernetEvaluator
from archwright.runners import Outcome, ProcessPool, Runner, Serial
from archwright.runs.record import read_record
from archwright.runs.run import open_run
from archwright.search import search
from archwright.strategies import Random
from archwright.testing import RunnerContract, Scripted, toy_task
from archwright.testing.contracts.runner import candidates, outcomes
from archwright.testing.evaluators import score
from archwright.testing.spaces import ElasticSpace
from archwright.training.config import TrainingConfig


class TestProcessPool(RunnerContract):
    def make(self) -> Runner:
        return ProcessPool(2, threads=1)


def test_lost_workers_are_replaced(tmp_path: Path) -> None:
    """A candidate whose worker was killed once is tried again; one that always loses its worker fails, with the signal
    and the last line the worker wrote; the rest of its chunk is unharmed."""
    evaluator = Scripted({1: "kill once", 4: "kill"}, str(tmp_path), chunk=3)
    found = outcomes(ProcessPool(2, threads=1), evaluator, candidates(6))
    assert [outcome.metrics for outcome in found if outcome.number != 4] == [
        score(candidate) for candidate in candidates(6) if candidate.number != 4
    ]
    assert found[4] == Outcome(
        4, failure="its worker process was lost 3 times; the last was killed by SIGKILL (out of memory?): about to go"
    )


def test_workers_say_what_is_not_deterministic(tmp_path: Path) -> None:
    """The run that is open in the pool's process enters it, each operation once."""
    with open_run(tmp_path, {}, seed=0, threads=1) as run:
        found = outcomes(ProcessPool(2, threads=1), Scripted({1: "put", 2: "put"}), candidates(4))
        assert [outcome.metrics for outcome in found] == [score(candidate) for candidate in candidates(4)]
        assert run.nondeterministic == read_record(tmp_path)["nondeterministic"] == ["put_"]


def test_deterministic_failures_are_tried_once(tmp_path: Path) -> None:
    """To raise again takes as long and says the same."""
    evaluator = Scripted({0: "raise"}, str(tmp_path))
    assert outcomes(ProcessPool(1, threads=1), evaluator, candidates(1))[0].failure == "ArithmeticError: no number"
    assert evaluator.noted() == [0]


def test_a_trial_that_hangs_fails_at_its_limit(tmp_path: Path) -> None:
    """Its worker is replaced, the others go on; the time a worker needs to begin does not count."""
    evaluator = Scripted({0: "hang"}, str(tmp_path))
    found = outcomes(ProcessPool(1, threads=1, trial_timeout_s=0.4), evaluator, candidates(3))
    assert found[0] == Outcome(0, failure="took longer than the 0.4 s a trial may take", duration_s=0.4)
    assert [outcome.metrics for outcome in found[1:]] == [score(candidate) for candidate in candidates(3)[1:]]
    assert evaluator.noted() == [0, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is limited on Linux only")
def test_a_trial_that_runs_out_of_memory_fails() -> None:
    """With the words of what refused to give more."""
    pool = ProcessPool(1, threads=1, memory_limit_bytes=2 * 1024**3)
    found = outcomes(pool, Scripted({0: "exhaust"}), candidates(2))
    assert found[0].failure.startswith("MemoryError")
    assert found[1].metrics == score(candidates(2)[1])


@pytest.mark.parametrize(
    "n_workers", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_numbers_of_workers_do_not_matter(n_workers: int) -> None:
    """Trained from scratch, and scored on a supernet: the trials are those of one process, bit for bit."""
    space = ElasticSpace()
    task = toy_task(space)
    training = TrainingConfig(steps=4, batch_size=16)
    scratch = FromScratch(space, task, training)
    shared = SupernetEvaluator(space, space.supernet(), task, CalibrationConfig(batches=1, batch_size=32))
    for evaluator in (scratch, shared):
        assert _metrics(evaluator, ProcessPool(n_workers)) == _metrics(evaluator, Serial())


def _metrics(evaluator: FromScratch | SupernetEvaluator, runner: Runner) -> list[object]:
    strategy = Random(evaluator.space, n_trials=6, seed=1)
    found = search(evaluator.space, strategy, evaluator, Objective((Goal("top1_accuracy"),)), runner=runner)
    return [(trial.candidate, trial.metrics, trial.failure) for trial in found.trials]


class Bound(Scripted):
    """Has no blueprint."""

    def blueprint(self, folder: Path) -> Blueprint:
        return Evaluator.blueprint(self, folder)


def test_an_evaluator_without_blueprint_is_refused() -> None:
    """Before a process is started."""
    with pytest.raises(UsageError, match=r"Bound does not say how other processes make it .*; use one worker"):
        ProcessPool(2).start(Bound())


class Lost(Scripted):
    """Its blueprint names nothing that can be imported, or a function that ends its process."""

    make = "archwright.no_such_module:make"

    def blueprint(self, folder: Path) -> Blueprint:
        return Blueprint(self.make, {} if "no_such" in self.make else {"status": 7})


def test_a_blueprint_that_cannot_be_followed_ends_the_search() -> None:
    """With the name that was missing; one whose making ends the process, after three of them."""
    with pytest.raises(UsageError, match="no_such_module:make cannot be imported in another process"):
        outcomes(ProcessPool(1, threads=1), Lost(), candidates(1))
    dying = Lost()
    dying.make = "os:_exit"
    with pytest.raises(RunError, match="3 worker processes ended before they could evaluate; the last exited with"):
        outcomes(ProcessPool(1, threads=1), dying, candidates(1))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL leaves no time to stop them; they notice that nobody is there, even amid an evaluation."""
    code = f"""
from archwright.runners import ProcessPool
from archwright.testing.contracts.runner import candidates
from archwright.testing import Scripted
running = ProcessPool(1, threads=1).start(Scripted({{0: "hang"}}, {str(tmp_path)!r}))
running.submit(candidates(1))
print(next(iter(running._workers.values()))._process.pid, flush=True)
running.collect(0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        while not list(tmp_path.iterdir()):
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 20
    while _is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(worker)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_workers": 0}, "a pool of 0 workers"),
        ({"n_workers": 1, "threads": 0}, "threads is 0"),
        ({"n_workers": 1, "trial_timeout_s": 0.0}, "trial_timeout_s is 0.0; give positive seconds"),
        ({"n_workers": 1, "trial_timeout_s": float("nan")}, "trial_timeout_s is nan"),
        ({"n_workers": 1, "memory_limit_bytes": -1}, "memory_limit_bytes is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    """In one line."""
    with pytest.raises(InvalidValueError, match=message):
        ProcessPool(**options)  # type: ignore[arg-type]
