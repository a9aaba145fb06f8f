"""Several runs: which belong together, and what their figures allow to say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from archwright.core.errors import InvalidValueError
from archwright.reports.comparison import comparison_view
from archwright.reports.comparison_charts import interval


def make_document(seed: int, test: float | None = 0.9, rival: float | None = 0.8, **changes: Any) -> dict[str, Any]:
    """A run of two trials with a limit; `changes` go into its configuration."""
    recipe = changes.pop("recipe", "spos")
    trials = [
        {"number": i, "status": "complete", "metrics": {"top1_accuracy": y + seed / 100}, "costs": {"macs": 1e6 + i}}
        for i, y in enumerate((0.5, 0.7))
    ]
    result: dict[str, Any] = {
        **{"recipe": recipe, "dataset": "digits", "metric": "top1_accuracy", "direction": "max", "seed": seed},
        **{"test": test, "macs": 1e6 + seed, "params": 100, "latency_ms": {"torch": {"median": 2.0}}},
        "constraints": [{"cost": "macs", "limit": 2e6, "value": 1e6, "satisfied": True}],
        "random_baseline": {"test": rival, "draws": [{"test": 0.7}, {"test": 0.6}]},
        "ledger": {"search": {"wall_s": 60.0}},
    }
    config = {"seed": seed, "data": "digits", "data_sha256": str(seed), "training": {"steps": 10}, **changes}
    run = {
        "recipe": recipe,
        "seed": seed,
        "config": config,
        "command": ["archwright", "search"],
        "versions": {"torch": "2"},
    }
    return {"result": result if test is not None else {}, "run": run, "trials": {"search": trials}}


def view_of(*documents: dict[str, Any]) -> dict[str, Any]:
    return comparison_view({f"run{i}": one for i, one in enumerate(documents)}, Path())


def test_interval_of_a_mean() -> None:
    """Of 1 and 3: mean 2, standard error 1, t(0.975, 1) = tan(0.475 pi) = 12.7062."""
    mean, half = interval([1.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(math.tan(0.475 * math.pi))
    assert interval([1.0]) == (1.0, None)


def test_seeds_of_one_search_are_one_group() -> None:
    """Mean and half width over three seeds; with scores 0.90, 0.91, 0.92 that is 0.91 ± 4.3027 * 0.01 / sqrt(3)."""
    view = view_of(*(make_document(seed, 0.90 + seed / 100, 0.89) for seed in range(3)))
    (row,) = view["groups"].rows
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert row[:3] == ["spos", "3", f"91.00 % ± {100 * half:.2f}"]
    assert row[4] == f"+2.00 points ± {100 * half:.2f}"
    assert row[6:] == ["not measured", "1 M", "100", "1 min 0 s"]
    assert "is not clearly different from" in view["verdict"][0]
    assert view["settings"].rows == []


def test_plain_networks_stand_in_both_tables() -> None:
    """Their mean over the seeds that have one, and each run's own."""
    documents = [make_document(seed) for seed in range(3)]
    for document, test in zip(documents, (0.75, 0.77), strict=False):
        document["result"]["plain_baseline"] = {"test": test}
    documents[2]["result"]["plain_baseline"] = {"reason": "there is none"}
    view = view_of(*documents)
    place = view["groups"].columns.index("plain network")
    assert view["groups"].rows[0][place].startswith("76.00 % ± ")
    assert [row["cells"][6] for row in view["runs"]] == ["75.00 %", "77.00 %", "not measured"]


def test_clear_gains_are_said() -> None:
    """Two seeds with gains of 0.1 and 0.1001 are far from zero; the other way round they are worse."""
    assert "better than" in view_of(make_document(0, 0.9, 0.8), make_document(1, 0.9001, 0.8))["verdict"][0]
    assert "worse than" in view_of(make_document(0, 0.8, 0.9), make_document(1, 0.8, 0.9001))["verdict"][0]


def test_other_settings_are_another_group() -> None:
    """Named by a number, with the setting in which they differ."""
    view = view_of(make_document(0), make_document(0, training={"steps": 20}), make_document(0, recipe="random"))
    assert [row[0] for row in view["groups"].rows] == ["spos 1", "spos 2", "random"]
    assert view["settings"].rows == [["training.steps", "spos 1", "10"], ["training.steps", "spos 2", "20"]]
    assert view["verdict"] == ["No search has several finished seeds: take small differences as ties."]


def test_winners_are_drawn_by_every_cost() -> None:
    """Cost by cost, with the front of all winners."""
    view = view_of(make_document(0, 0.9), make_document(1, 0.8), make_document(2, 0.95))
    chart = view["charts"]["winners"]
    assert list(chart.specs) == ["macs", "params", "latency_ms.torch"]
    assert chart.data["front0"].rows == [[1_000_000.0, 0.9], [1_000_002.0, 0.95]]


def test_curves_are_means_over_seeds() -> None:
    """Bests of 0.5 and 0.51, then 0.7 and 0.71: means 0.505 and 0.705."""
    chart = view_of(make_document(0), make_document(1))["charts"]["curves"]
    assert [(row[2], pytest.approx(row[3])) for row in chart.data["curves"].rows] == [(1, 0.505), (2, 0.705)]


def test_unfinished_runs_are_shown_as_such() -> None:
    """No score, no gain, no limit; the finished ones are compared as before."""
    dead = {**make_document(1, None), "status": {"state": "dead"}}
    view = view_of(make_document(0), dead)
    assert view["groups"].rows[0][1] == "1 of 2 finished"
    assert view["runs"][1]["cells"][2:6] == ["dead", "not measured", "not measured", "not measured"]


def test_different_data_are_refused() -> None:
    """Scores on other images are no comparison."""
    other = make_document(1)
    other["result"]["dataset"] = "mnist5k"
    with pytest.raises(InvalidValueError, match="different data or metrics"):
        view_of(make_document(0), other)


def test_own_pages_are_linked(tmp_path: Path) -> None:
    """By a path relative to the page; a run without one has no link."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "report.html").write_text("")
    documents = {"a": {**make_document(0), "folder": str(tmp_path / "a b")}, "c": make_document(1)}
    view = comparison_view(documents, tmp_path / "out")
    assert [run["link"] for run in view["runs"]] == ["../a%20b/report.html", ""]
