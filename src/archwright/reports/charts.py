"""The charts of a run, from its trials and training logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from archwright.core.pareto import front
from archwright.reports.svg import Axis, Series, chart
from archwright.reports.text import is_fraction, is_number, quantity, score

MAX_POINTS = 500
"""Most points of one cloud that are drawn besides those on the front."""


@dataclass(frozen=True)
class Measure:
    """What the charts compare: a metric with its direction, a cost, and the limit on it."""

    metric: str
    direction: str
    cost: str
    limit: float | None

    def minimised(self, value: float) -> float:
        return -value if self.direction == "max" else value


Trials = Sequence[Mapping[str, Any]]


def best_so_far_chart(search: Trials, baseline: Trials, measure: Measure) -> Markup:
    """The best score within the limit after each evaluation, the search against random drawing."""
    series = [
        _best_series("search", search, measure, color=0, dashed=False),
        _best_series("random baseline", baseline, measure, color=1, dashed=True),
    ]
    return chart("Best so far", series, Axis("architectures evaluated", quantity), _score_axis(measure.metric))


def trade_off_chart(search: Trials, baseline: Trials, winner: Any, measure: Measure) -> Markup:
    """Score against cost of all trials, the front of the search, the limit and the winner."""
    clouds = [_cloud("random", baseline, measure), _cloud("search", search, measure)]
    series = [
        _points_series(cloud, measure, color, shape)
        for cloud, color, shape in zip(clouds, (1, 0), _SHAPES, strict=True)
    ]
    found = clouds[1]
    edge = found.values[found.on_front]
    edge = edge[np.argsort(edge[:, 0], kind="stable")]
    series.append(Series("front of search", _pairs(edge), 0, "step"))
    chosen = [i for i, trial in enumerate(found.trials) if winner and trial.get("arch") == winner][:1]
    titles = [f"winner: {_title(found.trials[i], measure)}" for i in chosen]
    series.append(Series("winner", _pairs(found.values[chosen]), 2, shape="star", titles=titles))
    return chart(
        f"{measure.metric} against {measure.cost}",
        series,
        Axis(measure.cost, quantity),
        _score_axis(measure.metric),
        limit=measure.limit,
        limit_name=f"limit {quantity(measure.limit)}",
    )


def loss_chart(name: str, curve: Sequence[Sequence[float]]) -> Markup:
    """Loss against optimiser step; long curves are drawn as means over equal stretches."""
    points = np.array([point for point in curve if all(map(is_number, point))], dtype=np.float64).reshape(-1, 2)
    if len(points) > MAX_POINTS:
        points = np.array([part.mean(axis=0) for part in np.array_split(points, MAX_POINTS)])
    return chart(f"Loss of {name}", [Series(name, _pairs(points), 0, "straight")], Axis("step", quantity), Axis("loss"))


_SHAPES = ("square", "circle")


@dataclass(frozen=True)
class _Cloud:
    """Trials that can be drawn: values (n, 2) are cost and score, `on_front` (n,) marks the best trade-offs."""

    name: str
    trials: Trials
    values: NDArray[np.float64]
    on_front: NDArray[np.bool_]


def _cloud(name: str, trials: Trials, measure: Measure) -> _Cloud:
    usable = [trial for trial in trials if _score(trial, measure) is not None and _cost(trial, measure) is not None]
    values = np.array([(_cost(t, measure), _score(t, measure)) for t in usable], dtype=np.float64).reshape(-1, 2)
    minimised = values * np.array([1.0, measure.minimised(1.0)])
    return _Cloud(name, usable, values, front(minimised))


def _points_series(cloud: _Cloud, measure: Measure, color: int, shape: Any) -> Series:
    """The whole front, and of the others an even selection in order of their numbers."""
    others = np.flatnonzero(~cloud.on_front)
    if len(others) > MAX_POINTS:
        others = others[np.linspace(0, len(others) - 1, MAX_POINTS).round().astype(int)]
    shown = np.union1d(others, np.flatnonzero(cloud.on_front)).tolist()
    titles = [_title(cloud.trials[i], measure) for i in shown]
    return Series(cloud.name, _pairs(cloud.values[shown]), color, shape=shape, titles=titles)


def _best_series(name: str, trials: Trials, measure: Measure, *, color: int, dashed: bool) -> Series:
    points: list[tuple[float, float]] = []
    titles: list[str] = []
    for position, trial in enumerate(trials, start=1):
        value = _score(trial, measure) if _is_within_limit(trial, measure) else None
        if value is not None and (not points or measure.minimised(value) < measure.minimised(points[-1][1])):
            points.append((position, value))
            titles.append(_title(trial, measure))
    if points:
        # the last best holds to the end of the search
        points.append((len(trials), points[-1][1]))
        titles.append(f"after {len(trials)} evaluations: {score(points[-1][1], measure.metric)}")
    return Series(name, points, color, "step", dashed, "square" if dashed else "circle", titles)


def _score(trial: Mapping[str, Any], measure: Measure) -> float | None:
    value = (trial.get("metrics") or {}).get(measure.metric)
    return float(value) if trial.get("status") == "complete" and is_number(value) else None


def _cost(trial: Mapping[str, Any], measure: Measure) -> float | None:
    value = (trial.get("costs") or {}).get(measure.cost)
    return float(value) if is_number(value) else None


def _is_within_limit(trial: Mapping[str, Any], measure: Measure) -> bool:
    cost = _cost(trial, measure)
    return measure.limit is None or (cost is not None and cost <= measure.limit)


def _title(trial: Mapping[str, Any], measure: Measure) -> str:
    parts = [f"trial {trial.get('number')}", score(_score(trial, measure), measure.metric)]
    cost = _cost(trial, measure)
    return ", ".join(parts if cost is None else [*parts, f"{quantity(cost)} {measure.cost}"])


def _score_axis(metric: str) -> Axis:
    if is_fraction(metric):
        return Axis(metric, lambda value: f"{round(100 * value, 6):g} %")
    return Axis(metric)


def _pairs(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in values]
