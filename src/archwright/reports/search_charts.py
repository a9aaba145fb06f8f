"""Charts of a search, from its trials: trade-offs and the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.pareto import front
from archwright.reports.charts import (
    BAD,
    DASHES,
    SERIES,
    SHAPES,
    STAR,
    Chart,
    Spec,
    Table,
    code_hint,
    cost_format,
    hint,
    nominal,
    quantitative,
    score_format,
    text_layers,
    thin,
)
from archwright.reports.measures import Measure, Trials, code_of, cost, cost_names
from archwright.reports.text import quantity, score

MAX_POINTS = 1500
"""Most points of one set of trials besides those on a front; the still picture has at most `MAX_STILL`."""
MAX_STILL = 300

SEARCH, RANDOM, WINNER = "search", "random baseline", "winner"
NAMES = (SEARCH, RANDOM, WINNER)


# ── score against cost ────────────────────────────────────────────────────────────────────────────


def trade_off_chart(search: Trials, baseline: Trials, winner: Any, measure: Measure) -> Chart | None:
    """Score against a cost that the reader chooses, of all trials, with the search's Pareto front, limit and winner.

    Args:
        search: The trials of the search.
        baseline: The trials of the random baseline.
        winner: The winner's arch.
        measure: The run's metric and limits.
    """
    costs = cost_names([*search, *baseline], measure)
    clouds = [_cloud(name, trials, costs, measure) for name, trials in ((RANDOM, baseline), (SEARCH, search))]
    if not costs or not sum(len(cloud.trials) for cloud in clouds):
        return None
    found = clouds[1]
    fronts = {f"front{i}": _front_line(found, i) for i in range(len(costs))}
    columns = ["s", "n", "k", "y", *(f"c{i}" for i in range(len(costs)))]
    star = _winner_rows(found, winner)
    shown = [thin(cloud.table(columns), MAX_POINTS, cloud.on_any_front) for cloud in clouds]
    still = [thin(cloud.table(columns), MAX_STILL, _few(cloud.on_any_front)) for cloud in clouds]
    present = {*(cloud.name for cloud in clouds if cloud.trials), *(row[0] for row in star)}
    names = [name for name in NAMES if name in present]
    specs, code = {}, code_hint([*search, *baseline])
    for i, name in enumerate(costs):
        values = np.concatenate([cloud.values[:, 1 + i] for cloud in clouds])
        format = cost_format(values[np.isfinite(values)].tolist())
        specs[name] = _trade_off_spec(i, costs, names, format, measure, code)
    return Chart(
        key="trade-off",
        caption=f"{measure.metric} against cost, all architectures",
        description=_trade_off_text(found, costs, measure),
        specs=specs,
        data={"cloud": _joined(columns, [*shown, Table(columns, star)]), **fronts},
        still={"cloud": _joined(columns, [*still, Table(columns, star)])},
        table=_front_table(found, costs, measure),
        choice="cost",
        is_wide=True,
    )


@dataclass(frozen=True)
class _Cloud:
    """Trials that have a score: `values` (n, 1 + costs) are score and costs, not-a-number where a cost is missing.

    `on_front` (n, costs) marks the best trade-offs for each cost.
    """

    name: str
    trials: Trials
    values: NDArray[np.float64]
    on_front: NDArray[np.bool_]

    @property
    def on_any_front(self) -> NDArray[np.bool_]:
        return np.asarray(self.on_front.any(axis=1))

    def row(self, i: int, name: str) -> list[Any]:
        cells = [None if np.isnan(value) else value for value in self.values[i].tolist()]
        return [name, self.trials[i].get("number"), code_of(self.trials[i]), *cells]

    def table(self, columns: Sequence[str]) -> Table:
        return Table(columns, [self.row(i, self.name) for i in range(len(self.trials))])


def _cloud(name: str, trials: Trials, costs: Sequence[str], measure: Measure) -> _Cloud:
    usable = [trial for trial in trials if measure.score(trial) is not None]
    rows = [(measure.score(trial), *(cost(trial, one) for one in costs)) for trial in usable]
    values = np.array(rows, dtype=np.float64).reshape(-1, 1 + len(costs))
    on_front = np.zeros((len(usable), len(costs)), dtype=bool)
    for i in range(len(costs)):
        on_front[:, i] = front(np.column_stack((values[:, 1 + i], measure.minimised(1.0) * values[:, 0])))
    return _Cloud(name, usable, values, on_front)


def _front_line(cloud: _Cloud, i: int) -> Table:
    edge = cloud.values[cloud.on_front[:, i]][:, [1 + i, 0]]
    return Table(("x", "y"), edge[np.argsort(edge[:, 0], kind="stable")].tolist())


def _winner_rows(cloud: _Cloud, winner: Any) -> list[list[Any]]:
    chosen = [i for i, trial in enumerate(cloud.trials) if winner and trial.get("arch") == winner][:1]
    return [cloud.row(i, WINNER) for i in chosen]


def _few(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask, or nothing where it marks more than a still picture needs: its line is drawn in full anyway."""
    return mask if mask.sum() <= MAX_STILL else np.zeros_like(mask)


def _joined(columns: Sequence[str], tables: Sequence[Table]) -> Table:
    return Table(columns, [row for table in tables for row in table.rows])


def _trade_off_spec(
    i: int, costs: Sequence[str], names: Sequence[str], format: str, measure: Measure, code: Sequence[Spec]
) -> Spec:
    name, limit = costs[i], measure.limits.get(costs[i])
    y = quantitative("y", measure.metric, score_format(measure.metric))
    hints = [hint("s", "from"), hint("n", "trial"), *code, hint("y", measure.metric, score_format(measure.metric))]
    hints += [hint(f"c{k}", one, ".4~s" if format.endswith("s") else ".4~g") for k, one in enumerate(costs)]
    line = {
        "data": {"name": f"front{i}"},
        "mark": {"type": "line", "interpolate": "step-after", "color": SERIES[0], "strokeWidth": 1.5},
        "encoding": {"x": quantitative("x", name, format), "y": y},
    }
    points = {
        "data": {"name": "cloud"},
        "transform": [{"filter": f"isValid(datum.c{i})"}],
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": quantitative(f"c{i}", name, format),
            "y": y,
            "color": nominal("s", names, [SERIES[NAMES.index(one)] for one in names]),
            "shape": nominal("s", names, [(*SHAPES[:2], STAR)[NAMES.index(one)] for one in names]),
            "size": {"condition": {"test": f"datum.s === '{WINNER}'", "value": 330}, "value": 34},
            "opacity": {"condition": {"test": f"datum.s === '{WINNER}'", "value": 1}, "value": 0.62},
            "tooltip": hints,
        },
    }
    limits = _limit_layers(limit)
    return {"layer": [*limits[:1], line, points, *limits[1:]], "height": 360}


def _limit_layers(limit: float | None) -> list[Spec]:
    if limit is None:
        return []
    data = {"values": [{"x": limit, "name": f"limit {quantity(limit)}"}]}
    x = {"field": "x", "type": "quantitative"}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "color": BAD, "strokeDash": [3, 4], "strokeWidth": 1.5},
            "encoding": {"x": x},
        },
        *text_layers(
            {"data": data, "encoding": {"x": x, "y": {"value": 4}, "text": {"field": "name"}}},
            **{"align": "right", "dx": -6, "baseline": "top", "color": BAD, "fontSize": 12},
        ),
    ]


def _trade_off_text(cloud: _Cloud, costs: Sequence[str], measure: Measure) -> str:
    n = int(cloud.on_front[:, 0].sum())
    return (
        f"{len(cloud.trials):,} architectures of the search by {measure.metric} and {costs[0]}; "
        f"{n} of them are on the front, where none is both better and cheaper."
    )


def _front_table(cloud: _Cloud, costs: Sequence[str], measure: Measure, most: int = 40) -> Table:
    """The front for the first cost, cheapest first; a long one evenly."""
    chosen = np.flatnonzero(cloud.on_front[:, 0])
    chosen = chosen[np.argsort(cloud.values[chosen, 1], kind="stable")]
    if len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).round().astype(int)]
    rows = [
        [
            cloud.trials[i].get("number"),
            score(cloud.values[i, 0], measure.metric),
            *(quantity(one) for one in cloud.values[i, 1:].tolist()),
        ]
        for i in chosen.tolist()
    ]
    return Table(("trial on the front", measure.metric, *costs), rows)


# ── best so far ───────────────────────────────────────────────────────────────────────────────────


def best_so_far_chart(studies: Mapping[str, Trials], measure: Measure) -> Chart | None:
    """The best score within the limits after each evaluation, one line for each study."""
    lines = {name: improvements(trials, measure) for name, trials in studies.items()}
    lines = {name: line for name, line in lines.items() if line}
    if not lines:
        return None
    every = [trial for trials in studies.values() for trial in trials]
    costs = cost_names(every, measure)
    columns = ("s", "k", "x", "y", "n", "code", *(f"c{i}" for i in range(len(costs))))
    rows = [
        [name, k, *point, code_of(trial), *(cost(trial, one) for one in costs)]
        for k, (name, line) in enumerate(lines.items())
        for point in line
        for trial in [studies[name][point[0] - 1]]
    ]
    # the last best holds to the end of the search
    nothing = [None] * (2 + len(costs))
    ends = [[name, k, len(studies[name]), line[-1][1], *nothing] for k, (name, line) in enumerate(lines.items())]
    reached = (f"{name} ends at {score(line[-1][1], measure.metric)}" for name, line in lines.items())
    return Chart(
        key="best-so-far",
        caption="Best score within the limits, by evaluations spent",
        description="; ".join(reached) + ".",
        specs={"": steps_spec(list(lines), measure, _step_hints(every, costs, measure))},
        data={"best": Table(columns, rows), "line": Table(columns, [*rows, *ends])},
        table=Table(
            ("study", "after evaluation", measure.metric, "trial"),
            [[name, x, score(y, measure.metric), n] for name, _, x, y, n, *_ in rows],
        ),
        is_wide=True,
    )


def _step_hints(trials: Trials, costs: Sequence[str], measure: Measure) -> list[Spec]:
    """What is said at a mark of the best so far."""
    shown = [hint("s", "from"), hint("x", "evaluations", ","), hint("n", "trial")]
    shown += [hint("code", "code")] if any(code_of(trial) for trial in trials) else []
    shown.append(hint("y", measure.metric, score_format(measure.metric)))
    known = [[value for trial in trials if (value := cost(trial, name)) is not None] for name in costs]
    return shown + [hint(f"c{i}", name, cost_format(known[i])) for i, name in enumerate(costs)]


def improvements(trials: Trials, measure: Measure) -> list[tuple[int, float, Any]]:
    """(evaluations, score, number) of each trial within the limits that was better than all before it."""
    found: list[tuple[int, float, Any]] = []
    for position, trial in enumerate(trials, start=1):
        value = measure.score(trial) if measure.is_within_limits(trial) else None
        if value is not None and (not found or measure.minimised(value) < measure.minimised(found[-1][1])):
            found.append((position, value, trial.get("number")))
    return found


def steps_spec(names: Sequence[str], measure: Measure, hints: Sequence[Spec]) -> Spec:
    """The specification of step lines, one for each series, with marks at the improvements.

    It reads the tables "line" and "best", with the columns s (series), k (its position), x (evaluations), y (score)
    and n (trial), and those of the hints.

    Args:
        names: Names of the series.
        measure: The run's metric.
        hints: Lines of the text at a mark, see `hint`.
    """
    format = score_format(measure.metric)
    colors = [SERIES[k % len(SERIES)] for k in range(len(names))]
    encoding: Spec = {
        "x": quantitative("x", "architectures evaluated", ".3~s", scale={"nice": False}, axis={"tickMinStep": 1}),
        "y": quantitative("y", f"best {measure.metric}", format),
        "color": nominal("s", names, colors),
    }
    line: Spec = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
    # a layer a line: a dash of its own in the legend would hide the mark there
    lines = [
        {
            "data": {"name": "line"},
            "transform": [{"filter": f"datum.k === {k}"}],
            "mark": dict(line, strokeDash=DASHES[k % len(DASHES)]),
            "encoding": encoding,
        }
        for k in range(len(names))
    ]
    marks = {
        "data": {"name": "best"},
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
        "encoding": {
            **encoding,
            "shape": nominal("s", names, [SHAPES[k % len(SHAPES)] for k in range(len(names))]),
            "tooltip": list(hints),
        },
    }
    return {"layer": [*lines, marks], "height": 240}
