"""Which trial is taken when networks are measured, with invented times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.costs import Macs, OnnxLatency, SpaceTable, TorchLatency
from archwright.costs.latency import Latency
from archwright.finish.measuring import (
    Choice,
    choose_measured,
    latency_lines,
    limit_line,
    limit_values,
    measure_winner,
    satisfaction,
)
from archwright.nn.choice import Chooser
from archwright.nn.inputs import Form, Inputs
from archwright.runs.run import Run, open_run
from archwright.spaces import Space
from archwright.testing import NumberSpace

SPACE = NumberSpace()
LIMITS = [Constraint("latency_ms", 2.0), Constraint("macs", 1e9)]
COSTS = [OnnxLatency(), Macs()]
Clock = Callable[..., list[str]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Times of networks by their width (and what a file takes); notes the backends asked."""
    asked: list[str] = []

    def set_times(by_width: dict[int, float], file_ms: float = 9.0) -> list[str]:
        def latency(milliseconds: float, backend: Any) -> Latency:
            asked.append(backend)
            return Latency(milliseconds, milliseconds + 1, 1, 50, backend)

        def measure(network: nn.Module, form: Form, *, backend: str, use: Any) -> Latency:
            return latency(by_width[next(network.parameters()).shape[0]], backend)

        module = "archwright.finish.measuring"
        monkeypatch.setattr(f"{module}.measure_latency", measure)
        monkeypatch.setattr(f"{module}.time_onnx", lambda path, shape: latency(file_ms, "file"))
        return asked

    return set_times


def _trials(*widths: int) -> list[Trial]:
    """Feasible trials by what was predicted, best first."""
    return [
        Trial(
            Candidate(number, SPACE.decisions.archs(SPACE.decisions.rows([{"width": width, "kernel": 3}]))[0], seed=0),
            "complete",
            {"top1_accuracy": 1 - number / 10},
            {"latency_ms": 1.5, "macs": 1e6},
        )
        for number, width in enumerate(widths)
    ]


def _run(folder: Path | None = None) -> Run:
    return open_run(folder, {}, seed=0, threads=1, resume=True)


def _choose(run: Run, trials: Sequence[Trial]) -> Choice:
    return choose_measured(run, SPACE, trials, LIMITS, COSTS)


def test_without_a_latency_limit_nothing_is_measured(clock: Clock) -> None:
    """The best trial is taken."""
    asked, trials = clock({}), _trials(2, 4)
    with _run() as run:
        choice = choose_measured(run, SPACE, trials, [LIMITS[1]], [Macs()])
    assert (choice, asked) == (Choice(trials[0], {}, []), [])


FAR = SpaceTable("t", {}, machine={"bundle_sha256": "0"})


def test_a_table_of_another_machine_is_not_judged_here(clock: Clock) -> None:
    """Neither by timing trials nor by the winner's own time on this machine."""
    asked, trials = clock({}), _trials(2, 4)
    with _run() as run:
        choice = choose_measured(run, SPACE, trials, LIMITS, [OnnxLatency(FAR), Macs()])
    assert (choice, asked) == (Choice(trials[0], {}, []), [])
    objective = Objective((Goal("top1_accuracy"),), (LIMITS[0],))
    here = {"onnxruntime": {"median": 7.0}}
    values = limit_values(objective, [OnnxLatency(FAR)], nn.Linear(3, 4), (3,), here, trials[0].costs)
    assert values == {"latency_ms": 1.5}


def test_the_first_that_keeps_its_limit_is_taken(clock: Clock) -> None:
    """A limit that is met exactly is kept; who came before is named with both figures; who comes after is not run."""
    asked, trials = clock({2: 2.5, 4: 2.0, 6: 1.0}), _trials(2, 2, 4, 6)
    with _run() as run:
        choice = _choose(run, trials)
    assert choice.trial is trials[2]
    assert choice.latency_ms["onnxruntime"]["median"] == 2.0
    (missed,) = choice.passed_over
    assert missed == {
        "arch": {"width": 2, "kernel": 3},
        "cost": "latency_ms",
        "limit": 2.0,
        "predicted": 1.5,
        "value": 2.5,
    }
    assert asked == ["onnxruntime"] * 2  # an arch that comes twice is measured once


def test_where_none_keeps_it_the_nearest_is_taken(clock: Clock) -> None:
    """The fastest of them; better-scored ones are named."""
    clock({2: 9.0, 4: 3.0, 6: 4.0})
    trials = _trials(2, 4, 6)
    with _run() as run:
        choice = _choose(run, trials)
    assert choice.trial is trials[1]
    assert [one["value"] for one in choice.passed_over] == [9.0]


def test_a_resumed_run_takes_the_same_trial(clock: Clock, tmp_path: Path) -> None:
    """What was measured is kept: another clock changes nothing, and nothing is measured again."""
    trials = _trials(2, 4)
    asked = clock({2: 2.5, 4: 1.0})
    with _run(tmp_path / "run") as run:
        first = _choose(run, trials)
    clock({2: 0.1, 4: 9.9})
    with _run(tmp_path / "run") as run:
        assert _choose(run, trials) == first
    assert len(asked) == 2


def test_a_run_killed_while_it_measures_goes_on(clock: Clock, tmp_path: Path) -> None:
    """From the network whose measurement was cut off."""
    trials = _trials(2, 4)
    asked = clock({2: 2.5})
    with _run(tmp_path / "run") as run, pytest.raises(KeyError):
        _choose(run, trials)
    clock({4: 1.0})
    with _run(tmp_path / "run") as run:
        assert _choose(run, trials).trial is trials[1]
    assert len(asked) == 2


class Three(Space):
    """Three numbers in, four out."""

    input_shape, n_classes = (3,), 4

    def network(self, choose: Chooser) -> nn.Module:
        return nn.Linear(3, self.n_classes)


class ThreeTwice(Three):
    """A network that is run twice for an answer."""

    def use(self, network: nn.Module, inputs: Inputs) -> Any:
        return [super(ThreeTwice, self).use(network, inputs) for _ in range(2)]


def test_what_one_pass_does_not_answer_is_no_latency(clock: Clock, tmp_path: Path) -> None:
    """ONNX Runtime runs a file once; torch runs the use of the network."""
    asked, network = clock({4: 3.0}, file_ms=1.5), nn.Linear(3, 4)
    with _run() as run:
        assert list(measure_winner(run, network, ThreeTwice(), {}, tmp_path / "model.onnx")) == ["torch"]
    assert asked == ["torch"]


def test_the_winner_is_measured_by_every_backend(clock: Clock, tmp_path: Path) -> None:
    """The exported file by ONNX Runtime, unless known; once in a run."""
    asked, network = clock({4: 3.0}, file_ms=1.5), nn.Linear(3, 4)
    known = Latency(1.0, 2.0, 1, 50, "onnxruntime").to_json()
    with _run(tmp_path / "run") as run:
        found = measure_winner(run, network, Three(), {}, tmp_path / "model.onnx")
        assert measure_winner(run, network, Three(), {}, tmp_path / "model.onnx") == found
    assert {backend: one["median"] for backend, one in found.items()} == {"onnxruntime": 1.5, "torch": 3.0}
    with _run() as run:
        assert measure_winner(run, network, Three(), {"onnxruntime": known}, tmp_path / "a")["onnxruntime"] == known
    with _run() as run:
        assert list(measure_winner(run, network, Three(), {}, None)) == ["torch"]
    assert asked == ["file", "torch", "torch", "torch"]


def test_limits_are_judged_by_what_was_measured() -> None:
    """Latency by the measurement of its backend, anything else by the network."""
    objective = Objective((Goal("top1_accuracy"),), (Constraint("latency_ms.torch", 2.0), Constraint("macs", 20)))
    latency_ms = {"torch": {"median": 2.5}, "onnxruntime": {"median": 0.5}}
    values = limit_values(objective, [TorchLatency(), Macs()], nn.Linear(3, 4), (3,), latency_ms, {})
    assert values == {"latency_ms.torch": 2.5, "macs": 12}
    trial = Trial(_trials(2)[0].candidate, "complete", {}, {"latency_ms.torch": 1.5, "macs": 12})
    assert satisfaction(objective, trial, values) == [
        {"cost": "latency_ms.torch", "limit": 2.0, "predicted": 1.5, "value": 2.5, "satisfied": False},
        {"cost": "macs", "limit": 20.0, "predicted": 12.0, "value": 12, "satisfied": True},
    ]


def test_lines_for_people() -> None:
    """The prediction beside the measurement where they differ; how many were passed over."""
    limit = {"cost": "latency_ms", "limit": 2.0, "predicted": 1.5, "value": 1.75, "satisfied": True}
    assert limit_line(limit) == "limit      latency_ms <= 2: kept with 1.75 (predicted 1.5)"
    record = {"latency_ms": {"torch": {"median": 3.25}}, "passed_over": [{"arch": {"a": 1}}, {"arch": {"a": 1}}]}
    assert latency_lines(record) == [
        "latency    3.25 ms in torch (one image, one thread, median)",
        "           passed over: 1 better-scored network that missed a limit when measured",
    ]
    record["passed_over"] = [{"arch": {"a": 1}}, {"arch": {"a": 2}}]
    assert "2 better-scored networks that missed" in latency_lines(record)[1]
    assert latency_lines({}) == []
