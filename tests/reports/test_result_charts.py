"""Charts of what a run came to, against figures by hand."""

from __future__ import annotations

from typing import Any

from archwright.reports.measures import Measure
from archwright.reports.result_charts import (
    arch_text,
    estimate_chart,
    predicted_chart,
    rank_chart,
    spread_chart,
    training_charts,
)

MEASURE = Measure()
RESULT: dict[str, Any] = {
    "test": 0.97,
    "validation": 0.8,
    "random_baseline": {
        "test": 0.96,
        "validation": 0.82,
        "draws": [{"test": 0.95, "arch": {"a": 1}}, {"test": 0.94, "arch": {"a": 2}}],
    },
}


def test_test_scores_stand_side_by_side() -> None:
    """Winner, the best of random search, and each random draw."""
    chart = spread_chart(RESULT, MEASURE)
    assert chart is not None
    assert [row[1] for row in chart.data["tests"].rows] == [0.97, 0.96, 0.95, 0.94]


def test_a_plain_network_stands_beside_them() -> None:
    """In a place of its own; where there is only a reason, there is none."""
    chart = spread_chart({**RESULT, "plain_baseline": {"test": 0.955}}, MEASURE)
    assert chart is not None
    assert chart.data["tests"].rows[2] == ["plain network", 0.955, None, None]
    without = spread_chart({**RESULT, "plain_baseline": {"reason": "none fits"}}, MEASURE)
    assert without is not None
    assert "plain network" not in without.description


def test_random_search_is_not_compared_with_itself() -> None:
    """Where it is its own baseline, only winner and draws are there."""
    result = {**RESULT, "random_baseline": {**RESULT["random_baseline"], "is_search": True}}
    chart = spread_chart(result, MEASURE)
    assert chart is not None
    assert [row[1] for row in chart.data["tests"].rows] == [0.97, 0.95, 0.94]


def test_estimates_of_draws_come_from_trials() -> None:
    """A draw counts where some trial was the same arch."""
    chart = estimate_chart(RESULT, {arch_text({"a": 2}): 0.7}, MEASURE)
    assert chart is not None
    assert [row[1:3] for row in chart.data["networks"].rows] == [[0.8, 0.97], [0.82, 0.96], [0.7, 0.94]]
    assert estimate_chart({"test": 0.9}, {}, MEASURE) is None


def test_ranking_says_its_coefficients() -> None:
    """With intervals where there are any."""
    archs = [{"arch": f"{i}", "score": i / 10, "truth": i / 5} for i in range(4)]
    chart = rank_chart({"metric": "top1_accuracy", "archs": archs, "kendall": 0.5, "ci95": {"kendall": [0.25, 0.75]}})
    assert chart is not None
    assert chart.caption == "How the supernet ranks 4 random architectures: kendall 0.500 (0.250 to 0.750)"
    assert rank_chart({}) is None


def test_latencies_are_compared_with_what_was_predicted() -> None:
    """Whole networks of the table, the winner, and who was passed over; the worst is 50 % off."""
    table = {"checked": [{"code": "0", "predicted": 1.0, "measured": 1.1, "fitted": True}]}
    row = {"cost": "latency_ms", "predicted": 2.0, "value": 3.0}
    result = {"constraints": [row], "passed_over": [{**row, "value": 2.5}, {**row, "cost": "macs"}]}
    chart = predicted_chart({"latency_ms": table}, result)
    assert chart is not None
    assert [row[1:] for row in chart.data["networks"].rows] == [
        ["fitted", 1.0, 1.1],
        ["winner", 2.0, 3.0],
        ["passed over", 2.0, 2.5],
    ]
    assert "the largest deviation is 50 %" in chart.description
    assert predicted_chart({}, result) is None


def test_retrained_networks_share_a_chart() -> None:
    """Other trainings have one each; a curve without numbers has none."""
    curves = {
        "supernet": [[0, 2.0], [10, 1.0]],
        "retrain-winner": [[5, 1.5]],
        "retrain-draw0": [[5, 1.6]],
        "x": [[0, None]],
    }
    charts = training_charts(curves)
    assert [chart.caption for chart in charts] == [
        "Training loss of supernet",
        "Training loss of the retrained networks",
    ]
    assert [chart.key for chart in charts] == ["training0", "training1"]
    assert [row[0] for row in charts[1].data["curves"].rows] == ["retrain-winner", "retrain-draw0"]


def test_long_curves_are_means_over_stretches() -> None:
    """Of 1,000 points 200 means of five; the first is the mean of 0 to 4."""
    (chart,) = training_charts({"supernet": [[i, float(i)] for i in range(1000)]})
    rows = chart.data["curves"].rows
    assert len(rows) == 200
    assert rows[0] == ["supernet", 2.0, 2.0]
