"""What the charts of a search show, against figures by hand."""

from __future__ import annotations

from typing import Any

from archwright.reports.measures import Measure
from archwright.reports.search_charts import best_so_far_chart, improvements, trade_off_chart

MEASURE = Measure("top1_accuracy", "max", {"macs": 2e6})


def trial(number: int, accuracy: float, macs: float, **more: Any) -> dict[str, Any]:
    costs = {"params": 1000 - number, "macs": macs}
    return {"number": number, "metrics": {"top1_accuracy": accuracy}, "costs": costs, "status": "complete", **more}


SEARCH = [trial(0, 0.90, 1.5e6), trial(1, 0.99, 2.5e6), trial(2, 0.95, 2.0e6), trial(3, 0.94, 1.0e6, arch={"a": 1})]


def test_best_so_far_respects_the_limit() -> None:
    """A better score beyond the limit is no best: trials 0 and 2 count."""
    assert improvements(SEARCH, MEASURE) == [(1, 0.90, 0), (3, 0.95, 2)]


def test_best_holds_to_the_end() -> None:
    """The line goes on to the last evaluation at the last best."""
    chart = best_so_far_chart({"search": SEARCH, "random": []}, MEASURE)
    assert chart is not None
    assert chart.data["line"].rows[-1][:5] == ["search", 0, 4, 0.95, None]
    assert chart.description == "search ends at 95.00 %."


def test_less_is_better_where_the_metric_says_so() -> None:
    """Perplexity falls: of 3, 1, 2 the first two are improvements."""
    measure = Measure("perplexity", "min")
    trials = [{"number": i, "metrics": {"perplexity": p}, "status": "complete"} for i, p in enumerate((3.0, 1.0, 2.0))]
    assert improvements(trials, measure) == [(1, 3.0, 0), (2, 1.0, 1)]


def test_reader_chooses_among_the_costs() -> None:
    """One specification a cost, the limited one first, each with its own front."""
    chart = trade_off_chart(SEARCH, [], {"a": 1}, MEASURE)
    assert chart is not None
    assert list(chart.specs) == ["macs", "params"]
    assert chart.data["front0"].rows == [[1.0e6, 0.94], [2.0e6, 0.95], [2.5e6, 0.99]]
    assert chart.data["front1"].rows == [[997, 0.94], [998, 0.95], [999, 0.99]]
    assert "limit 2 M" in str(chart.specs["macs"])
    assert "limit" not in str(chart.specs["params"])


def test_winner_is_marked() -> None:
    """The trial of the winning arch is there once more, as the winner, on top."""
    chart = trade_off_chart(SEARCH, [], {"a": 1}, MEASURE)
    assert chart is not None
    assert chart.data["cloud"].rows[-1] == ["winner", 3, None, 0.94, 1.0e6, 997.0]
    assert [row[0] for row in chart.data["cloud"].rows].count("winner") == 1


def test_failed_and_broken_trials_are_left_out() -> None:
    """No score, no mark; a missing cost leaves the trial out of that cost's picture only."""
    nan = float("nan")
    broken = [
        trial(4, nan, 1e6),
        {**trial(5, 0.9, 1e6), "status": "failed"},
        {**trial(6, 0.9, 1e6), "costs": {"params": 1}},
    ]
    chart = trade_off_chart([*SEARCH, *broken], [], None, MEASURE)
    assert chart is not None
    assert [row[1] for row in chart.data["cloud"].rows] == [0, 1, 2, 3, 6]
    assert chart.data["cloud"].rows[-1][4] is None


def test_nothing_to_draw_is_no_chart() -> None:
    """Without trials, or without a score among them."""
    assert trade_off_chart([], [], None, MEASURE) is None
    assert best_so_far_chart({"search": [{"status": "failed"}]}, MEASURE) is None


def test_still_picture_is_thin_and_its_line_is_not() -> None:
    """2,000 trials that are all on the front: 300 marks, a line through every one."""
    trials = [trial(i, 0.5 + i / 10_000, 1e6 + i) for i in range(2000)]
    chart = trade_off_chart(trials, [], None, Measure())
    assert chart is not None
    assert len(chart.data["cloud"].rows) == len(chart.data["front1"].rows) == 2000
    assert len(chart.still["cloud"].rows) == 300
