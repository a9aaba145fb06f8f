"""Charts of several runs: test scores with intervals, winners by cost, best so far, fronts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright.core.pareto import front
from archwright.reports.charts import (
    DASHES,
    INK,
    MUTED,
    SERIES,
    SHAPES,
    Chart,
    Spec,
    Table,
    cost_format,
    hint,
    nominal,
    quantitative,
    score_format,
)
from archwright.reports.measures import Document, Measure, Trials, cost, cost_names, part, parts
from archwright.reports.search_charts import improvements
from archwright.reports.text import is_number, quantity, score

MAX_GRID = 200
"""Most points of a mean curve."""
MAX_FRONT = 300

WINNERS, RIVALS = "winner", "best of random search"


@dataclass(frozen=True)
class Member:
    """One run of a comparison.

    Attributes:
        name: Name of its folder.
        recipe: Name of its recipe.
        data: Name of its data set.
        measure: Its metric and limits.
        document: The document of its page, see `write_page`.
    """

    name: str
    recipe: str
    data: str
    measure: Measure
    document: Document

    @property
    def test(self) -> float | None:
        """The winner's score on the test part."""
        return _number(part(self.document, "result").get("test"))

    @property
    def rival(self) -> float | None:
        """The test score of random search's best; None if the run is a random search itself."""
        baseline = part(part(self.document, "result"), "random_baseline")
        return None if baseline.get("is_search") else _number(baseline.get("test"))

    @property
    def plain(self) -> float | None:
        """The test score of the plain network."""
        return _number(part(part(self.document, "result"), "plain_baseline").get("test"))

    @property
    def trials(self) -> Trials:
        """The trials of the search, without those of its baseline."""
        return parts(part(self.document, "trials"), "search")

    def gain(self, measure: Measure) -> float | None:
        """How much better the winner's test score is than that of random search's best; None if one is missing."""
        if self.test is None or self.rival is None:
            return None
        return measure.minimised(self.rival) - measure.minimised(self.test)

    def figure(self, name: str) -> float | None:
        """A cost of the winner by name; `latency_ms.torch` is the measured latency in torch."""
        result = part(self.document, "result")
        if name.startswith("latency_ms"):
            return _number(part(part(result, "latency_ms"), name.partition(".")[2] or "onnxruntime").get("median"))
        return _number(result.get(name))


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed."""

    name: str
    members: Sequence[Member]

    @property
    def tests(self) -> list[float]:
        """The winners' test scores, of the runs that have one."""
        return [one.test for one in self.members if one.test is not None]

    @property
    def rivals(self) -> list[float]:
        """The test scores of random search's best, of the runs that have one."""
        return [one.rival for one in self.members if one.rival is not None]

    def figures(self, name: str) -> list[float]:
        """A cost of the winners by name, of the runs that have it."""
        return [value for one in self.members if (value := one.figure(name)) is not None]


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and half the width of its 95 % t interval; None instead of the latter for a single value.

    >>> interval([1.0, 3.0])
    (2.0, 12.706...)
    """
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, None
    from scipy.stats import t

    return mean, float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))


def tests_chart(groups: Sequence[Group], measure: Measure) -> Chart | None:
    """Each run's test score beside that of its random search, with means and intervals."""
    sides = [(group, WINNERS, group.tests) for group in groups] + [(group, RIVALS, group.rivals) for group in groups]
    points = [[group.name, side, value] for group, side, values in sides for value in values]
    if not points:
        return None
    means = []
    for group, side, values in sides:
        if values:
            mean, half = interval(values)
            means.append([group.name, side, mean, mean - (half or 0.0), mean + (half or 0.0)])
    format, names = score_format(measure.metric), [group.name for group in groups]
    shared: Spec = {
        "y": {"field": "g", "type": "nominal", "sort": names, "title": None, "axis": {"labelLimit": 220}},
        "yOffset": {"field": "s", "type": "nominal", "sort": [WINNERS, RIVALS]},
        "color": nominal("s", (WINNERS, RIVALS), (SERIES[2], SERIES[1])),
    }
    x = quantitative("x", f"{measure.metric} on the test part", format)
    ends = {**shared, "x": {**x, "field": "low"}, "x2": {"field": "high"}}
    dots = {**shared, "x": x, "shape": nominal("s", (WINNERS, RIVALS), SHAPES[:2])}
    seen = [hint("g", "search"), hint("s", "network"), hint("x", "test", format)]
    span = [hint("low", "from", format), hint("high", "to", format)]
    tick = {"type": "tick", "thickness": 3, "size": 16, "color": INK}
    layers = [
        {"data": {"name": "means"}, "mark": {"type": "rule", "strokeWidth": 2.5}, "encoding": ends},
        {
            "data": {"name": "points"},
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.6},
            "encoding": {**dots, "tooltip": seen},
        },
        {
            "data": {"name": "means"},
            "mark": tick,
            "encoding": {
                "x": {**x, "field": "mean"},
                "y": shared["y"],
                "yOffset": shared["yOffset"],
                "tooltip": [*seen[:2], hint("mean", "mean", format), *span],
            },
        },
    ]
    return Chart(
        key="tests",
        caption="Test scores, with means and 95 % intervals",
        description="Each mark is a run, each stroke a mean; a line is the 95 % t interval of the mean over seeds.",
        specs={"": {"layer": layers, "height": 90 + 64 * len(groups)}},
        data={"points": Table(("g", "s", "x"), points), "means": Table(("g", "s", "mean", "low", "high"), means)},
        table=Table(
            ("search", "network", "mean test", "from", "to"),
            [[g, s, *(score(value, measure.metric) for value in rest)] for g, s, *rest in means],
        ),
        is_wide=True,
    )


def winners_chart(groups: Sequence[Group], measure: Measure) -> Chart | None:
    """Winners' test scores against a cost that the reader chooses, and the Pareto front of all winners."""
    costs = [
        name
        for name in ("macs", "params", "latency_ms.onnxruntime", "latency_ms.torch", "memory_access_bytes")
        if any(group.figures(name) for group in groups)
    ]
    members = [(group.name, one) for group in groups for one in group.members if one.test is not None]
    if not members or not costs:
        return None
    rows: list[list[Any]] = [
        [name, one.name, part(one.document, "run").get("seed"), one.test, *(one.figure(c) for c in costs)]
        for name, one in members
    ]
    columns = ("g", "n", "seed", "y", *(f"c{i}" for i in range(len(costs))))
    names, data = [group.name for group in groups], {"winners": Table(columns, rows)}
    specs: dict[str, Spec] = {}
    for i, name in enumerate(costs):
        known = [(row[4 + i], row[3]) for row in rows if row[4 + i] is not None]
        data[f"front{i}"] = _front_table(known, measure, MAX_FRONT)
        specs[name] = _scatter_spec("winners", i, name, names, cost_format([x for x, _ in known]), measure)
        shown = [
            hint("g", "search"),
            hint("n", "run"),
            hint("seed", "seed"),
            hint("y", "test", score_format(measure.metric)),
        ]
        specs[name]["layer"][1]["encoding"]["tooltip"] = [*shown, hint(f"c{i}", name, ".4~s")]
    return Chart(
        key="winners",
        caption="Winners: test score against cost",
        description="Each mark is the winner of a run; on the line are those that no other is better and cheaper than.",
        specs=specs,
        data=data,
        table=Table(
            ("search", "run", "seed", "test", *costs),
            [[*row[:3], score(row[3], measure.metric), *map(quantity, row[4:])] for row in rows],
        ),
        choice="cost",
        is_wide=True,
    )


def fronts_chart(groups: Sequence[Group], measure: Measure) -> Chart | None:
    """The Pareto front of each group's trials, by the scores of the search."""
    costs = [name for group in groups for one in group.members for name in cost_names(one.trials, one.measure)]
    costs = list(dict.fromkeys(costs))
    if not costs:
        return None
    columns, names = ("g", "k", "x", "y"), [group.name for group in groups]
    data: dict[str, Table] = {}
    specs: dict[str, Spec] = {}
    n = 0
    for i, name in enumerate(costs):
        rows: list[list[Any]] = []
        for k, group in enumerate(groups):
            found = [
                (x, y)
                for one in group.members
                for trial in one.trials
                if (y := measure.score(trial)) is not None and (x := cost(trial, name)) is not None
            ]
            rows += [[group.name, k, *point] for point in _front_table(found, measure, MAX_FRONT).rows]
        n = max(n, len(rows))
        data[f"fronts{i}"] = Table(columns, rows)
        specs[name] = _fronts_spec(i, name, names, cost_format([row[2] for row in rows]), measure)
    if not n:
        return None
    return Chart(
        key="fronts",
        caption="Fronts of the searches, by their own scores",
        description="Scores of different searches are on one scale only where they are made in the same way.",
        specs=specs,
        data=data,
        choice="cost",
        is_wide=True,
    )


def curves_chart(groups: Sequence[Group], measure: Measure) -> Chart | None:
    """The best score so far of each group: the mean over its runs, with an interval if there are several."""
    rows: list[list[Any]] = []
    names: list[str] = []
    for group in groups:
        curve = _mean_curve(group)
        if curve:
            rows += [[group.name, len(names), *point] for point in curve]
            names.append(group.name)
    if not rows:
        return None
    format = score_format(measure.metric)
    x = quantitative("x", "architectures evaluated", ".3~s", scale={"nice": False}, axis={"tickMinStep": 1})
    y = quantitative("y", f"best {measure.metric} in the search", format)
    color = nominal("s", names, [SERIES[k % len(SERIES)] for k in range(len(names))])
    shown = [hint("s", "search"), hint("x", "evaluations", ","), hint("y", "mean", format)]
    area = {"type": "area", "interpolate": "step-after", "opacity": 0.16}
    line = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
    layers: list[Spec] = [
        {
            "data": {"name": "curves"},
            "mark": area,
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color},
        }
    ]
    layers += [
        {
            "data": {"name": "curves"},
            "transform": [{"filter": f"datum.k === {k}"}],
            "mark": {**line, "strokeDash": DASHES[k % len(DASHES)]},
            "encoding": {"x": x, "y": y, "color": color, "tooltip": shown},
        }
        for k in range(len(names))
    ]
    last = {row[0]: row for row in rows}
    return Chart(
        key="curves",
        caption="Best score within the limits, by evaluations spent",
        description="Means over seeds, with 95 % t intervals; scores are each search's own.",
        specs={"": {"layer": layers}},
        data={"curves": Table(("s", "k", "x", "y", "low", "high"), rows)},
        table=Table(
            ("search", "evaluations", "best at the end (mean)"),
            [[name, row[2], score(row[3], measure.metric)] for name, row in last.items()],
        ),
        is_wide=True,
    )


def _mean_curve(group: Group) -> list[list[float]]:
    """(evaluations, mean, low, high) on a grid up to the shortest run, from where each run has a best."""
    runs = [(one, improvements(one.trials, one.measure)) for one in group.members]
    runs = [(one, line) for one, line in runs if line]
    if not runs:
        return []
    first, last = max(line[0][0] for _, line in runs), min(len(one.trials) for one, _ in runs)
    if first > last:
        return []
    grid = np.unique(np.linspace(first, last, min(MAX_GRID, last - first + 1)).round().astype(int))
    best = []
    for _, line in runs:
        places, values = np.array([x for x, _, _ in line]), np.array([y for _, y, _ in line])
        best.append(values[np.searchsorted(places, grid, side="right") - 1])
    rows = []
    for i, x in enumerate(grid.tolist()):
        mean, half = interval([float(values[i]) for values in best])
        rows.append([x, mean, mean - (half or 0.0), mean + (half or 0.0)])
    return rows


def _front_table(points: Sequence[tuple[float, float]], measure: Measure, most: int) -> Table:
    """The front of (cost, score) pairs, cheapest first; of a longer one an even selection with both ends."""
    values = np.array(points, dtype=np.float64).reshape(-1, 2)
    edge = values[front(values * np.array([1.0, measure.minimised(1.0)]))]
    edge = np.unique(edge, axis=0)
    if len(edge) > most:
        edge = edge[np.linspace(0, len(edge) - 1, most).round().astype(int)]
    return Table(("x", "y"), edge.tolist())


def _scatter_spec(data: str, i: int, name: str, names: Sequence[str], format: str, measure: Measure) -> Spec:
    y = quantitative("y", f"{measure.metric} on the test part", score_format(measure.metric))
    line = {
        "data": {"name": f"front{i}"},
        "mark": {"type": "line", "interpolate": "step-after", "color": MUTED, "strokeWidth": 1.5},
        "encoding": {"x": quantitative("x", name, format), "y": y},
    }
    marks = {
        "data": {"name": data},
        "transform": [{"filter": f"isValid(datum.c{i})"}],
        "mark": {"type": "point", "filled": True, "size": 110, "opacity": 0.85},
        "encoding": {"x": quantitative(f"c{i}", name, format), "y": y, **_by_group("g", names)},
    }
    return {"layer": [line, marks]}


def _fronts_spec(i: int, name: str, names: Sequence[str], format: str, measure: Measure) -> Spec:
    shown_format = score_format(measure.metric)
    x, y = quantitative("x", name, format), quantitative("y", f"{measure.metric} in the search", shown_format)
    data, color = {"name": f"fronts{i}"}, _by_group("g", names)["color"]
    lines = [
        {
            "data": data,
            "transform": [{"filter": f"datum.k === {k}"}],
            "mark": {"type": "line", "interpolate": "step-after", "strokeDash": DASHES[k % len(DASHES)]},
            "encoding": {"x": x, "y": y, "color": color},
        }
        for k in range(len(names))
    ]
    shown = [hint("g", "search"), hint("x", name, ".4~s"), hint("y", measure.metric, shown_format)]
    marks = {
        "data": data,
        "mark": {"type": "point", "filled": True, "size": 40},
        "encoding": {"x": x, "y": y, **_by_group("g", names), "tooltip": shown},
    }
    return {"layer": [*lines, marks]}


def _by_group(field: str, names: Sequence[str]) -> dict[str, Spec]:
    return {
        "color": nominal(field, names, [SERIES[k % len(SERIES)] for k in range(len(names))]),
        "shape": nominal(field, names, [SHAPES[k % len(SHAPES)] for k in range(len(names))]),
    }


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
