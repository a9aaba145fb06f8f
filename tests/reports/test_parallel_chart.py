"""Where trials lie on the axes of parallel coordinates."""

from __future__ import annotations

from typing import Any

import pytest

from archwright.reports.charts import Chart
from archwright.reports.measures import Measure
from archwright.reports.parallel_chart import JITTER, MAX_DECISIONS, MAX_LINES, N_BEST, parallel_chart

MEASURE = Measure("top1_accuracy", "max", {"macs": 2e6})


def trial(number: int, accuracy: float, arch: dict[str, Any]) -> dict[str, Any]:
    metrics, costs = {"top1_accuracy": accuracy}, {"macs": 1e6 * (1 + number)}
    return {"number": number, "metrics": metrics, "costs": costs, "status": "complete", "arch": arch}


@pytest.fixture
def chart() -> Chart:
    """Three trials; one decision of numbers, one of names, one that never varies, one that is not always active."""
    archs = [
        {"width": 32, "op": "b", "same": 1},
        {"width": 16, "op": "a", "same": 1, "extra": True},
        {"width": 128, "op": "a", "same": 1, "extra": False},
    ]
    made = parallel_chart([trial(i, 0.9 + i / 100, arch) for i, arch in enumerate(archs)], MEASURE)
    assert made is not None
    return made


def test_axes_are_decisions_costs_and_score(chart: Chart) -> None:
    """In this order; a decision that never varies is none."""
    labels = {}
    for field, place, text in chart.data["labels"].rows:
        labels.setdefault(field, []).append((place, text))
    assert labels == {
        "v0": [(0.0, "16"), (0.5, "32"), (1.0, "128")],
        "v1": [(0.0, "a"), (1.0, "b")],
        "v2": [(0.0, "False"), (1.0, "True")],
        "v3": [(0.0, "1 M"), (1.0, "3 M")],
        "v4": [(0.0, "90.00 %"), (1.0, "92.00 %")],
    }


def test_lines_pass_their_values(chart: Chart) -> None:
    """Near the value's place, since equal lines are drawn a little apart; an inactive decision has no place."""
    rows = {row["t"]: row for row in chart.data["lines"].records()}
    assert rows[0]["v0"] == pytest.approx(0.5, abs=JITTER)
    assert rows[0]["v2"] is None
    assert rows[2]["v2"] == pytest.approx(0.0, abs=JITTER)
    assert (rows[1]["v3"], rows[1]["v4"]) == (0.5, 0.5)


def test_best_lie_on_top(chart: Chart) -> None:
    """The best tenth, here one trial, is drawn last."""
    assert [(row["t"], row["g"]) for row in chart.data["lines"].records()] == [
        (0, "others"),
        (1, "others"),
        (2, "best tenth"),
    ]


def test_many_trials_are_thinned_but_the_best_are_not() -> None:
    """Of 5,000 at most 400 and the best 40."""
    trials = [trial(i, (i * 7919 % 5000) / 5000, {"a": i % 3}) for i in range(5000)]
    chart = parallel_chart(trials, MEASURE)
    assert chart is not None
    shown = {row["t"] for row in chart.data["lines"].records()}
    best = sorted(trials, key=lambda one: -one["metrics"]["top1_accuracy"])[:N_BEST]
    assert len(shown) <= MAX_LINES + N_BEST
    assert {one["number"] for one in best} <= shown


def test_of_many_decisions_those_that_tell_are_axes() -> None:
    """Of 30 decisions 20 are shown, among them the one that makes the best trials."""
    trials = [
        trial(i, 0.9 if i % 10 == 0 else 0.5, {f"d{k}": (i + k) % 2 for k in range(29)} | {"key": i % 10 == 0})
        for i in range(100)
    ]
    chart = parallel_chart(trials, MEASURE)
    assert chart is not None
    assert "Of 30 decisions the 20 that tell" in chart.description
    names = chart.specs[""]["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]
    assert '"key"' in names
    assert names.count(": ") == MAX_DECISIONS + 2


def test_one_trial_is_no_picture() -> None:
    """Nothing is compared then."""
    assert parallel_chart([trial(0, 0.9, {"a": 1})], MEASURE) is None
