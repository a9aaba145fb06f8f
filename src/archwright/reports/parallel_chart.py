"""Parallel coordinates: every trial is a line through its decisions, its costs and its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright.reports.charts import (
    MUTED,
    SERIES,
    Chart,
    Spec,
    Table,
    code_hint,
    cost_format,
    hint,
    names_expression,
    nominal,
    score_format,
    text_layers,
    thin,
)
from archwright.reports.measures import Measure, Trials, code_of, cost, cost_names, part
from archwright.reports.text import is_number, quantity, score

MAX_LINES, MAX_STILL, N_BEST = 400, 120, 40
MAX_DECISIONS = 20
"""Most axes of decisions; a space with more shows those that differ most between good and other trials."""
MAX_LABELLED = 13
"""With more axes than this, equal neighbouring axes share one set of labels."""
MAX_COSTS = 3
"""Most axes of costs."""
MAX_LABELS = 8
"""Most values written at one axis."""

JITTER, GOLDEN = 0.06, 0.6180339887
BEST, OTHERS = "best tenth", "others"


@dataclass(frozen=True)
class Axis:
    """One axis of the chart.

    Attributes:
        name: Name of the decision, cost or metric.
        values: Position of each trial on the axis, in [0, 1]; None if the trial has no value for it.
        labels: Texts at the axis, each with its position in [0, 1].
    """

    name: str
    values: Sequence[float | None]
    labels: Sequence[tuple[float, str]]


def parallel_chart(trials: Trials, measure: Measure) -> Chart | None:
    """The trials as lines; the reader can select some of them by a box over axes or by a smallest score."""
    usable = [trial for trial in trials if measure.score(trial) is not None and part(trial, "arch")]
    if len(usable) < 2:
        return None
    scores = np.array([measure.score(trial) for trial in usable])
    order = np.argsort([measure.minimised(value) for value in scores.tolist()], kind="stable")
    is_best = np.zeros(len(usable), dtype=bool)
    is_best[order[: max(1, len(usable) // 10)]] = True
    keep = np.zeros(len(usable), dtype=bool)
    keep[order[:N_BEST]] = True
    axes = [*_decision_axes(usable, is_best), *_cost_axes(usable, measure), _score_axis(scores, measure)]
    costs = cost_names(usable, measure)[:MAX_COSTS]
    columns = ["t", "k", "g", "y", *(f"c{i}" for i in range(len(costs))), *(f"v{i}" for i in range(len(axes)))]
    rows = [
        [
            *(trial.get("number"), code_of(trial), BEST if is_best[i] else OTHERS, scores[i]),
            *(cost(trial, name) for name in costs),
            *(axis.values[i] for axis in axes),
        ]
        for i, trial in enumerate(usable)
    ]
    # lines drawn last lie on top: the best ones
    drawn = sorted(range(len(rows)), key=lambda i: measure.minimised(float(scores[i])), reverse=True)
    table = Table(columns, [rows[i] for i in drawn])
    shown = thin(table, MAX_LINES, keep[drawn])
    n_decisions = len({str(name) for trial in usable for name in part(trial, "arch")})
    left_out = (
        f" Of {n_decisions} decisions the {MAX_DECISIONS} that tell good from other trials most are axes."
        if n_decisions > MAX_DECISIONS
        else ""
    )
    return Chart(
        key="parallel",
        caption=f"Every architecture as a line through its decisions ({len(shown.rows):,} of {len(usable):,} trials)",
        description=f"The best tenth of the trials is drawn in colour.{left_out} Draw a box over one or more axes, "
        "or set a score, to follow the lines through it.",
        specs={"": _spec(axes, scores, len(shown.rows), measure, _hints(usable, costs, measure))},
        data={"lines": shown, "labels": _labels(axes)},
        still={"lines": thin(table, MAX_STILL, keep[drawn])},
        table=_best_table(usable, order[:10].tolist(), measure),
        is_wide=True,
    )


def _decision_axes(trials: Trials, is_best: Any) -> list[Axis]:
    """One axis a decision that varies: values in the order in which they first sort, evenly spread over [0, 1]."""
    names = list(dict.fromkeys(str(name) for trial in trials for name in part(trial, "arch")))
    axes = []
    for name in names:
        chosen = [part(trial, "arch").get(name) for trial in trials]
        places = {_text(value): value for value in chosen if value is not None}
        ordered = sorted(places, key=lambda text: _rank(places[text]))
        if len(ordered) < 2:
            continue
        spread = {text: i / (len(ordered) - 1) for i, text in enumerate(ordered)}
        values = [None if value is None else spread[_text(value)] + _jitter(i) for i, value in enumerate(chosen)]
        axes.append(Axis(name, values, list(zip(spread.values(), spread, strict=True))))
    if len(axes) > MAX_DECISIONS:
        telling = sorted(axes, key=lambda axis: -_difference(axis.values, is_best))[:MAX_DECISIONS]
        axes = [axis for axis in axes if axis in telling]
    return axes


def _jitter(i: int) -> float:
    """Where a line passes a value, a little apart from others that do; the same in every picture."""
    return round(JITTER * ((i * GOLDEN) % 1 - 0.5), 3)


def _difference(values: Sequence[float | None], is_best: Any) -> float:
    """How differently the best trials and the others choose: total variation between the two."""
    sides: list[list[float | None]] = [[], []]
    for value, best in zip(values, is_best.tolist(), strict=True):
        sides[best].append(None if value is None else round(value, 1))
    shares = [{value: side.count(value) / max(1, len(side)) for value in set(side)} for side in sides]
    return sum(abs(shares[0].get(value, 0) - shares[1].get(value, 0)) for value in shares[0].keys() | shares[1].keys())


def _cost_axes(trials: Trials, measure: Measure) -> list[Axis]:
    axes = []
    for name in cost_names(trials, measure)[:MAX_COSTS]:
        values = [cost(trial, name) for trial in trials]
        axes.append(_number_axis(name, values, quantity))
    return [axis for axis in axes if axis.labels]


def _score_axis(scores: Any, measure: Measure) -> Axis:
    return _number_axis(measure.metric, scores.tolist(), lambda value: score(value, measure.metric))


def _number_axis(name: str, values: Sequence[float | None], text: Any) -> Axis:
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    if not low < high:
        return Axis(name, [0.5 if value is not None else None for value in values], [])
    placed = [None if value is None else round((value - low) / (high - low), 3) for value in values]
    return Axis(name, placed, [(0.0, text(low)), (1.0, text(high))])


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _rank(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if is_number(value) else (1, 0.0, _text(value))


def _labels(axes: Sequence[Axis]) -> Table:
    rows = []
    for i, axis in enumerate(axes):
        labels = axis.labels
        if len(axes) > MAX_LABELLED and i and axes[i - 1].labels == labels:
            continue  # between axes this close there is room for one text a run of axes alike
        step = max(1, -(-len(labels) // MAX_LABELS))
        rows += [[f"v{i}", place, text] for place, text in labels[::step]]
    return Table(("a", "v", "text"), rows)


def _hints(trials: Trials, costs: Sequence[str], measure: Measure) -> list[Spec]:
    """What is said where the pointer rests on a line."""
    known = [hint("t", "trial"), *code_hint(trials), hint("y", measure.metric, score_format(measure.metric))]
    return known + [hint(f"c{i}", name, cost_format(_known(trials, name))) for i, name in enumerate(costs)]


def _known(trials: Trials, name: str) -> list[float]:
    return [value for trial in trials if (value := cost(trial, name)) is not None]


def _spec(axes: Sequence[Axis], scores: Any, n_lines: int, measure: Measure, hints: Sequence[Spec]) -> Spec:
    fields = [f"v{i}" for i in range(len(axes))]
    low, high = float(scores.min()), float(scores.max())
    worst, better = (low, ">=") if measure.direction == "max" else (high, "<=")
    x = {
        **{"field": "a", "type": "nominal", "sort": fields, "title": None, "scale": {"type": "point", "padding": 0.35}},
        "axis": {
            **{"domain": False, "ticks": False, "grid": True, "gridColor": MUTED, "labelAngle": -28, "labelLimit": 130},
            **{"labelAlign": "right", "labelOverlap": False, "orient": "bottom", "labelPadding": 10},
            "labelExpr": names_expression({f"v{i}": axis.name for i, axis in enumerate(axes)}),
        },
    }
    y = {"field": "v", "type": "quantitative", "scale": {"domain": [-0.04, 1.04], "nice": False}, "axis": None}
    # in the box: the trial passes through it on every axis the box covers; without a box each trial is
    none = "!isObject(brush) || !isArray(brush.a)"
    hit = f"{none} || (indexof(brush.a, datum.a) >= 0 && inrange(datum.v, brush.v)) ? 1 : 0"
    met = f"datum.hits >= ({none} ? 1 : length(brush.a)) && datum.y {better} least"
    chosen = {"test": met}
    lines = {
        "data": {"name": "lines"},
        "transform": [
            {"fold": fields, "as": ["a", "v"]},
            {"filter": "isValid(datum.v)"},
            {"calculate": hit, "as": "hit"},
            {"joinaggregate": [{"op": "sum", "field": "hit", "as": "hits"}], "groupby": ["t"]},
        ],
        "params": [{"name": "brush", "select": {"type": "interval", "encodings": ["x", "y"]}}],
        "mark": {"type": "line", "strokeWidth": 1.3},
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "t"},
            "color": nominal("g", [OTHERS, BEST], [MUTED, SERIES[0]]),
            "opacity": {"condition": {**chosen, "value": min(0.75, max(0.35, 90 / n_lines))}, "value": 0.03},
            "tooltip": list(hints),
        },
    }
    text = {
        "data": {"name": "labels"},
        "encoding": {"x": {"field": "a", "type": "nominal", "sort": fields}, "y": y, "text": {"field": "text"}},
    }
    labels = text_layers(text, align="left", dx=5, limit=76)
    bind = {
        "input": "range",
        "min": low,
        "max": high,
        "step": (high - low) / 100 or 1,
        "name": f"{measure.metric} at {'least' if measure.direction == 'max' else 'most'} ",
    }
    return {"params": [{"name": "least", "value": worst, "bind": bind}], "layer": [lines, *labels], "height": 330}


def _best_table(trials: Trials, best: Sequence[int], measure: Measure) -> Table:
    names = list(dict.fromkeys(str(name) for i in best for name in part(trials[i], "arch")))[:MAX_DECISIONS]
    rows = [
        [
            trials[i].get("number"),
            score(measure.score(trials[i]), measure.metric),
            *(_text(part(trials[i], "arch").get(name, "–")) for name in names),
        ]
        for i in best
    ]
    return Table(("trial, best first", measure.metric, *names), rows)
