"""Limited costs of a run and their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from archwright.core.errors import InfeasibleError, InvalidValueError, RunError, UnknownNameError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.costs import Macs, OnnxLatency, ProfileConfig, TorchLatency, profile
from archwright.costs.latency import Latency
from archwright.recipes.limited_costs import limited_costs, n_unmeasured, table_digest, with_tables
from archwright.runs.run import open_run
from archwright.testing import NumberSpace

SPACE = NumberSpace()
CONFIG = ProfileConfig(warmup=0, repeats=1, n_fitted=3, n_checked=0)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every network takes as many milliseconds as it has outputs of its first layer; notes the backends."""
    noted: list[str] = []

    def measure(network: nn.Module, input_shape: Sequence[int], **how: Any) -> Latency:
        noted.append(how["backend"])
        width = next((len(parameter) for parameter in network.parameters()), 0)
        return Latency(float(width), float(width), 1, 1, how["backend"])

    monkeypatch.setattr("archwright.costs.profiling.profile.measure_latency", measure)
    return noted


def _objective(**limits: float) -> Objective:
    return Objective((Goal("top1_accuracy"),), tuple(Constraint(name, limit) for name, limit in limits.items()))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of the space for ONNX Runtime."""
    profile(SPACE, CONFIG).save(tmp_path / "table.json")
    return tmp_path / "table.json"


def test_latency_takes_the_table_it_is_given(table: Path) -> None:
    """Nothing is left to measure; other costs need none."""
    latency, macs = limited_costs(SPACE, [_objective(latency_ms=4.0, macs=1e9)], latency_table=table)
    assert n_unmeasured([latency, macs]) == 0
    rows = SPACE.decisions.enumerate_rows()
    assert sorted(set(latency.cost_rows(SPACE, rows).round(6))) == [2.0, 4.0, 6.0, 8.0]
    assert isinstance(macs, Macs)


def test_a_limit_below_the_table_is_refused(table: Path) -> None:
    """Before anything starts, with the smallest value."""
    with pytest.raises(InfeasibleError, match=r"latency_ms <= 1; the smallest reachable is 2"):
        limited_costs(SPACE, [_objective(latency_ms=1.0)], latency_table=table)


def test_a_table_that_nothing_uses_is_refused(table: Path) -> None:
    """No latency is limited, or that of another backend."""
    for limits in ({"macs": 1e9}, {"latency_ms.torch": 4.0}):
        with pytest.raises(InvalidValueError, match="holds latencies of onnxruntime, and no limit uses them"):
            limited_costs(SPACE, [_objective(**limits)], latency_table=table)


def test_a_table_of_operators_or_of_another_space_is_refused(table: Path, tmp_path: Path) -> None:
    """One line with the command that measures the right one."""
    (tmp_path / "ops.json").write_text(json.dumps({"Conv-input:4x4x3-output:2x2x8": {"count": 1, "mean": 1.0}}))
    with pytest.raises(InvalidValueError, match="holds latencies of operators, not of this space; measure one: arch"):
        limited_costs(SPACE, [_objective(latency_ms=4.0)], latency_table=tmp_path / "ops.json")
    with pytest.raises(InvalidValueError, match=r"input_shape \[3, 6, 6\] instead of \[3, 9, 9\]"):
        limited_costs(NumberSpace(input_shape=(3, 9, 9)), [_objective(latency_ms=4.0)], latency_table=table)


def test_an_unknown_cost_and_an_unreachable_count_are_refused() -> None:
    """Also where latency still lacks its table."""
    with pytest.raises(UnknownNameError, match="did you mean latency-ms"):
        limited_costs(SPACE, [_objective(latncy_ms=4.0)])
    with pytest.raises(InfeasibleError, match="macs <= 1"):
        limited_costs(SPACE, [_objective(latency_ms=4.0, macs=1.0)])


def test_a_table_is_measured_once_in_a_run(tmp_path: Path, asked: list[str]) -> None:
    """One a backend, in a phase of its own; kept in the folder, and taken from the phase afterwards."""
    objective = _objective(**{"latency_ms": 4.0, "latency_ms.torch": 6.0})
    costs = limited_costs(SPACE, [objective])
    assert n_unmeasured(costs) == 2
    found = []
    for _ in range(2):
        with open_run(tmp_path / "run", {}, seed=0, threads=1, resume=True) as run:
            found.append(with_tables(run, SPACE, [objective], costs, CONFIG))
            assert list(run.ledger) == ["profile", "profile-torch"]
    assert [type(cost) for cost in found[0]] == [OnnxLatency, TorchLatency]
    rows = SPACE.decisions.enumerate_rows()
    assert len(asked) == 2 * (1 + 8 + 3)
    for first, second in zip(*found, strict=True):
        assert (first.cost_rows(SPACE, rows) == second.cost_rows(SPACE, rows)).all()
    again = limited_costs(SPACE, [_objective(latency_ms=4.0)], latency_table=tmp_path / "run" / "latency_ms.json")
    assert (again[0].cost_rows(SPACE, rows) == found[0][0].cost_rows(SPACE, rows)).all()


def test_what_a_run_finds_out_of_reach_is_its_own_error() -> None:
    """It has started, so it is no matter of the command line; the smallest value is said."""
    objective = _objective(latency_ms=1.0)
    with (
        open_run(None, {}, seed=0, threads=1) as run,
        pytest.raises(RunError, match="the smallest reachable is 2") as caught,
    ):
        with_tables(run, SPACE, [objective], limited_costs(SPACE, [objective]), CONFIG)
    assert caught.value.exit_code == 1


def test_a_run_is_bound_to_the_content_of_its_table(table: Path) -> None:
    """By a digest in its config; without a table there is nothing to note."""
    before = table_digest(table)
    table.write_text(table.read_text().replace('"threads": 1', '"threads": 2'))
    assert table_digest(table) != before
    assert table_digest(None) == {}
